"""`lqz export`: a model as files for a runtime."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from training.commands.network import load
from training.terminal import OPEN, quiet_errors
from zoo.errors import DeployError, InvalidValueError, UnknownNameError
from zoo.extras import require

FORMATS = ("openvino", "lce", "saved_model", "tflite")
EXTRAS = ("openvino", "lce")  # formats that need the extra of this name


@click.command("export", context_settings=OPEN)
@click.argument("model")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.option("--format", "kind", required=True, metavar="|".join(FORMATS),
              help="openvino for x86; lce (Larq Compute Engine) for ARM.")  # fmt: skip
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True,
              help="A directory for openvino and saved_model, else a .tflite file.")  # fmt: skip
@click.option("--batch", type=click.IntRange(min=1), default=1, show_default=True,
              help="Images at a time (openvino).")  # fmt: skip
@click.option("--preprocess", is_flag=True,
              help="Take uint8 images and normalise them in the graph (openvino).")  # fmt: skip
@click.option("--allow-float", is_flag=True,
              help="Write binary layers that cannot be converted in float32 (lce).")  # fmt: skip
def export(
    model: str, arguments: Sequence[str], kind: str, output: Path, batch: int, preprocess: bool,
    allow_float: bool,
) -> None:  # fmt: skip
    """Write MODEL, built with ARGUMENTS, for a runtime.

    MODEL is a name of `lqz list` or the path of a saved model (.keras, .h5). ARGUMENTS are those of
    the constructor, e.g. weights=run/weights.npz "input_shape=(32,32,3)" num_classes=10.
    """
    if kind not in FORMATS:
        raise UnknownNameError("format", kind, FORMATS)
    for name, given in (("--preprocess", preprocess), ("--batch", batch != 1)):
        if given and kind != "openvino":
            raise InvalidValueError(f"{name} is for --format openvino, not {kind}.")
    if allow_float and kind != "lce":
        raise InvalidValueError(f"--allow-float is for --format lce, not {kind}.")
    if kind in EXTRAS:
        require(kind, f"--format {kind}")
    check_output(output, kind)
    network = load(model, arguments)
    write: dict[str, Callable[[], int]] = {
        "openvino": lambda: _openvino(network, output, batch, preprocess),
        "lce": lambda: _lce(network, output, allow_float),
        "tflite": lambda: _tflite(network, output),
        "saved_model": lambda: _saved_model(network, output),
    }
    with quiet_errors():
        binary = write[kind]()
    import zoo

    size, memory = file_size(output), zoo.profile(network).memory_bytes
    click.echo(
        f"{output}: {size:,} bytes, {binary} binary convolutions; the weights are {memory:,} bytes."
    )


def check_output(output: Path, kind: str) -> None:
    """Raise a ZooError unless `output` can be written, before minutes of converting."""
    if kind in ("lce", "tflite"):
        if output.suffix != ".tflite":
            raise InvalidValueError(f"--format {kind} writes a .tflite file, not '{output}'.")
        require_writable(output)
    else:
        require_writable(output / "model")


def require_writable(path: Path) -> None:
    """Make the folder of a file; a DeployError unless the file can be written there."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            path.open("ab").close()
        else:
            with tempfile.TemporaryFile(dir=path.parent):
                pass
    except OSError as error:
        target = error.filename if path.parent.is_dir() and path.exists() else path.parent
        raise DeployError(f"'{target}' cannot be written: {error.strerror}.") from error


def file_size(path: Path) -> int:
    """Bytes of a file, or of all files in a directory."""
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())


def _openvino(network: Any, output: Path, batch: int, preprocess: bool) -> int:
    from zoo.deploy.openvino.export import checked_openvino, save_openvino

    converted, difference = checked_openvino(network, batch, preprocess=preprocess)
    save_openvino(converted, output)
    _say(difference)
    return sum(node.get_type_name() == "BinaryConvolution" for node in converted.get_ops())


def _lce(network: Any, output: Path, allow_float: bool) -> int:
    from zoo.deploy.lce.export import checked_lce, count_binary_convolutions

    flatbuffer, difference = checked_lce(network, allow_float=allow_float)
    output.write_bytes(flatbuffer)
    _say(difference)
    return count_binary_convolutions(flatbuffer)


def _tflite(network: Any, output: Path) -> int:
    from zoo.deploy.lce.export import checked_tflite

    flatbuffer, difference = checked_tflite(network)
    output.write_bytes(flatbuffer)
    _say(difference)
    return 0


def _saved_model(network: Any, output: Path) -> int:
    network.save(output, save_format="tf", include_optimizer=False)
    return 0


def _say(difference: float) -> None:
    click.echo(f"Random inputs: differs from Keras by {difference:.1e} (relative L2).")
