"""Write the directory of a network in C."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from zoo import files
from zoo.deploy.walk import check_exportable
from zoo.errors import DeployError, InvalidValueError
from zoo.preprocessing import IMAGENET_MEAN, IMAGENET_STD

if TYPE_CHECKING:
    from os import PathLike

    import tensorflow as tf

SOURCES = Path(__file__).parent / "sources"
KERNELS = (
    "bnn.c",
    *(f"bnn{part}.h" for part in ("", "_layers", "_regions", "_run", "_steps", "_vectors")),
)
MANIFEST = "model.json"  # written last: a directory without it is not complete
FORMAT = 1  # version of the manifest
# Keywords of C and C++, and main.
_KEYWORDS = """
alignas alignof and asm auto bool break case catch char class const constexpr continue default
delete do double else enum explicit export extern false float for friend goto if inline int long
main namespace new not nullptr operator or private protected public register restrict return short
signed sizeof static struct switch template this throw true try typedef typeid typename union
unsigned using virtual void volatile wchar_t while xor
"""
KEYWORDS = frozenset(_KEYWORDS.split())


@dataclass(frozen=True)
class Export:
    """The result of `to_c`.

    Attributes:
        directory: the export's directory.
        name: name of the network in C.
        binary: the names of its binary convolutions, in order.
        workspace: bytes of workspace that the caller must provide.
        constants: bytes of its weights and other constants.
        difference: difference of the graph's output from Keras's for a random image (relative L2).
    """

    directory: Path
    name: str
    binary: tuple[str, ...]
    workspace: int
    constants: int
    difference: float


def to_c(
    model: tf.keras.Model,
    directory: str | PathLike[str],
    *,
    name: str | None = None,
    classes: Sequence[str] | None = None,
    mean: Sequence[float] = IMAGENET_MEAN,
    std: Sequence[float] = IMAGENET_STD,
    ram: int | None = None,
    flash: int | None = None,
) -> Export:
    """Write a functional Keras model as C source: NAME.c, NAME.h, kernels, an example, a test.

    The sums of every binary convolution are exactly Keras's. The C code computes the model's
    outputs: logits, or the result of the model's final activation.

    Args:
        model: a built functional model for one image size, with one input and one output.
        directory: the directory to write; missing parents are made, an earlier export is replaced.
        name: a C identifier, the prefix of all names in NAME.h; the default is the model's name.
        classes: a name for each output, for NAME_class.
        mean, std: per-channel values with which NAME_run_uint8 normalises byte images after a
            division by 255.
        ram, flash: upper limits in bytes for the workspace and the constants; no limit by default.

    Raises:
        DeployError: a layer is not supported, a size is not fixed, the name is not a C identifier,
            the network exceeds `ram` or `flash`, or the directory cannot be written. Then nothing
            is left behind.
    """
    check_exportable(model)
    name = checked_name(model.name if name is None else name)
    directory = Path(directory)
    check_directory(directory)
    from zoo.deploy.c.emit import Source
    from zoo.deploy.c.layers import build_graph
    from zoo.deploy.c.memory import ALIGNMENT, Memory
    from zoo.deploy.c.reference import check_graph
    from zoo.deploy.c.schedule import Schedule
    from zoo.deploy.c.vectors import VECTORS, expected_outputs

    graph, output = build_graph(model)
    if classes is not None and len(classes) != output.channels:
        raise InvalidValueError(
            f"{len(classes)} class names were given for {output.channels} outputs."
        )
    difference = check_graph(model, graph, output)
    schedule = Schedule(graph, output)
    memory = Memory(schedule)
    if memory.size >= 2**31:
        raise DeployError(f"The network needs a workspace of {memory.size:,} bytes, 2 GiB or more.")
    workspace = memory.size + ALIGNMENT - 1
    if ram is not None and workspace > ram:
        raise DeployError(
            f"The network needs a workspace of {workspace:,} bytes, more than {ram:,} bytes of RAM."
        )
    source = Source(schedule, memory)
    image = graph.image
    table = _table(image.channels, mean, std)
    table_name = None if table is None else source.constant(table)
    if flash is not None and source.bytes > flash:
        raise DeployError(
            f"The network has {source.bytes:,} bytes of constants, more than {flash:,} bytes of "
            "flash."
        )
    values: dict[str, Any] = {
        "name": name,
        "NAME": name.upper(),
        "height": image.shape[0],
        "width": image.shape[1],
        "channels": image.channels,
        "inputs": image.pixels * image.channels,
        "outputs": output.pixels * output.channels,
        "workspace": workspace,
        "constants": "\n".join(source.constants),
        "layers": "\n".join(source.layers),
        "calls": "\n    ".join(source.calls),
        "binary": len(source.binary),
        "image_offset": memory.of(image).offset,
        "table": table_name,
        "classes": ",\n    ".join(map(_string, classes or ())),
        "vectors": VECTORS,
        "title": _comment(model.name),
    }
    values["expected"] = expected_outputs(model, values["inputs"], table)
    conditions = {
        "uint8": table is not None,
        "float": table is None,
        "classes": bool(classes),
        "numbers": not classes,
    }
    texts = {
        f"{name}.h": "model.h",
        f"{name}.c": "model.c",
        "main.c": "main.c",
        f"{name}_vectors.h": "vectors.h",
        "CMakeLists.txt": "CMakeLists.txt",
        "README.md": "README.md",
    }
    manifest = {
        "format": FORMAT,
        "name": name,
        "input_shape": list(model.input_shape[1:]),
        "output_shape": list(model.output_shape[1:]),
        "workspace": values["workspace"],
        "uint8": table is not None,
        "classes": list(classes) if classes else None,
        "binary_convolutions": source.binary,
    }

    def fill(folder: Path) -> None:
        for kernel in KERNELS:
            shutil.copyfile(SOURCES / kernel, folder / kernel)
        for target, template in texts.items():
            text = (SOURCES / "templates" / template).read_text(encoding="utf-8")
            (folder / target).write_text(_filled(text, values, conditions), encoding="utf-8")
        hashes = {path.name: files.sha256(path) for path in sorted(folder.iterdir())}
        files.write_json(folder / MANIFEST, {**manifest, "files": hashes})

    _write_directory(directory, fill)
    return Export(directory, name, tuple(source.binary), workspace, source.bytes, difference)


def checked_name(name: str) -> str:
    """Return `name` if it can be the prefix of names in a C program; else raise DeployError."""
    good = re.fullmatch(r"[a-zA-Z][a-zA-Z0-9_]*", name) and name not in KEYWORDS
    if not good or name.lower() == "bnn" or name.lower().startswith("bnn_"):
        raise DeployError(
            f"'{name}' is not a name in C: use letters, digits and '_', begin with a letter, and "
            "avoid keywords (name=, or --name)."
        )
    return name


def check_directory(directory: Path) -> None:
    """Raise DeployError if no export can be written there; change nothing."""
    if directory.exists() or directory.is_symlink():
        if not directory.is_dir():
            raise DeployError(f"'{directory}' is not a directory.")
        if any(directory.iterdir()) and not (directory / MANIFEST).is_file():
            raise DeployError(
                f"'{directory}' holds files that do not belong to an export: choose another "
                "directory."
            )
    above = directory.absolute().parent
    while not above.exists():
        above = above.parent
    try:
        with tempfile.TemporaryFile(dir=above):
            pass
    except OSError as error:
        raise DeployError(f"'{directory}' cannot be written: {error.strerror}.") from error


def _write_directory(directory: Path, fill: Any) -> None:
    """Fill a new directory beside `directory`, and rename it when it is complete."""
    try:
        files.write_directory(directory, fill)
    except OSError as error:
        raise DeployError(
            f"'{directory}' cannot be written: {error.strerror or type(error).__name__}."
        ) from error


def _filled(text: str, values: dict[str, Any], conditions: dict[str, bool]) -> str:
    """Fill a template: replace its @names@, and remove `@if x@ ... @end@` if x is false."""
    for condition, holds in conditions.items():
        pattern = rf"(?ms)^@if {condition}@\n(.*?)^@end@\n"
        text = re.sub(pattern, r"\1" if holds else "", text)
    return re.sub(r"@(\w+)@", lambda match: str(values[match[1]]), text)


def _string(text: str) -> str:
    """Return a C string literal; bytes that are not printable ASCII become three-digit escapes."""
    out = ""
    for byte in text.encode("utf-8"):
        plain = 32 <= byte < 127 and chr(byte) not in '"\\?'
        out += chr(byte) if plain else f"\\{byte:03o}"
    return f'"{out}"'


def _comment(text: str) -> str:
    return "".join(each if 32 <= ord(each) < 127 else "?" for each in text).replace("*/", "* /")


def _table(channels: int, mean: Sequence[float], std: Sequence[float]) -> np.ndarray | None:
    """Return the normalised value of each byte, float32 (channels, 256).

    The values are those of `zoo.preprocess_input`.
    """
    if not len(mean) == len(std) == channels:
        return None
    pixels = np.arange(256, dtype=np.float32)[None] / np.float32(255)
    centre, size = (np.asarray(each, np.float32)[:, None] for each in (mean, std))
    return (pixels - centre) / size
