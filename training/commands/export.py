"""`lqz export`: a model as files for a runtime."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from training.commands import completion
from training.commands.arguments import read_options
from training.commands.network import Network, find, resolve
from training.terminal import OPEN
from zoo.deploy.card import CARD, NOTE, ExportCard, write_card
from zoo.errors import DeployError, InvalidValueError, UnknownNameError
from zoo.extras import require
from zoo.files import require_writable, write_atomically, write_directory
from zoo.quiet import quiet_errors

FORMATS = ("openvino", "lce", "c", "onnx", "saved_model", "tflite")
EXTRAS = ("openvino", "lce", "onnx")  # formats that need the extra of this name
SUFFIXES = {"lce": ".tflite", "tflite": ".tflite", "onnx": ".onnx"}  # formats of one file
SAVED_MODEL = {"saved_model.pb", "keras_metadata.pb", "fingerprint.pb", "variables", "assets", CARD}


@click.command("export", context_settings=OPEN)
@click.argument("model", shell_complete=completion.models)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.option(
    "--format",
    "kind",
    required=True,
    metavar="|".join(FORMATS),
    help="openvino: x86; lce (Larq Compute Engine): ARM; c: any machine.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    required=True,
    help="A directory for openvino, c and saved_model, else a file.",
)
@click.option(
    "--batch",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Batch size (openvino).",
)
@click.option(
    "--preprocess",
    is_flag=True,
    help="Accept uint8 images; normalise them in the graph (openvino).",
)
@click.option("--name", help="Prefix of the C names (c); by default the model's name.")
@click.option(
    "--ram",
    type=click.IntRange(min=1),
    metavar="BYTES",
    help="Refuse a network whose workspace is larger (c).",
)
@click.option(
    "--flash",
    type=click.IntRange(min=1),
    metavar="BYTES",
    help="Refuse a network whose constants are larger (c).",
)
@click.option(
    "--allow-float",
    is_flag=True,
    help="Keep binary layers that cannot be converted in float32 (lce).",
)
def export(
    model: str,
    arguments: Sequence[str],
    kind: str,
    output: Path,
    batch: int,
    preprocess: bool,
    name: str | None,
    ram: int | None,
    flash: int | None,
    allow_float: bool,
) -> None:
    """Write MODEL, built with ARGUMENTS, for a runtime.

    MODEL is a name of `lqz list`, a run directory, or a .keras, .h5 or .npz file. ARGUMENTS are
    those of the constructor, e.g. weights=run/weights.npz "input_shape=(32,32,3)" num_classes=10.
    By default, a model of the list is exported with trained weights; weights=none takes random
    ones. `lqz evaluate` and `lqz predict` accept the exported files.
    """
    if kind not in FORMATS:
        raise UnknownNameError("format", kind, FORMATS)
    for option, given, of in (
        ("--preprocess", preprocess, "openvino"),
        ("--batch", batch != 1, "openvino"),
        ("--allow-float", allow_float, "lce"),
        ("--name", name is not None, "c"),
        ("--ram", ram is not None, "c"),
        ("--flash", flash is not None, "c"),
    ):
        if given and kind != of:
            raise InvalidValueError(f"{option} is for --format {of}, not {kind}.")
    if kind in EXTRAS:
        require(kind, f"--format {kind}")
    find(model)
    check_output(output, kind)
    found = resolve(model, read_options(arguments))
    network = found.model(logits=kind == "c")  # the C code returns logits by default
    card = _card(found, network)
    write: dict[str, Callable[[], int]] = {
        "openvino": lambda: _openvino(network, output, batch, preprocess, found, card),
        "lce": lambda: _lce(network, output, allow_float, card),
        "c": lambda: _c(network, output, found, card, name=name, ram=ram, flash=flash),
        "onnx": lambda: _onnx(network, output, card),
        "tflite": lambda: _tflite(network, output, card),
        "saved_model": lambda: _saved_model(network, output, card),
    }
    with quiet_errors():
        binary = write[kind]()
    import zoo

    size, memory = file_size(output), zoo.profile(network).memory_bytes
    click.echo(
        f"{output}: {size:,} bytes, {binary} binary convolutions; the weights are {memory:,} bytes."
    )


def check_output(output: Path, kind: str) -> None:
    """Raise a ZooError if `output` cannot be written; called before minutes of conversion."""
    if suffix := SUFFIXES.get(kind):
        if output.suffix != suffix:
            article = "an" if kind == "onnx" else "a"
            raise InvalidValueError(
                f"--format {kind} writes {article} {suffix} file, not '{output}'."
            )
        require_writable(output, DeployError)
    elif kind == "c":
        from zoo.deploy.c.write import check_directory

        check_directory(output)
    else:
        if kind == "saved_model" and output.is_dir():
            others = sorted({each.name for each in output.iterdir()} - SAVED_MODEL)
            if others:
                raise DeployError(
                    f"'{output}' holds other files than a SavedModel's ({others[0]}): choose "
                    "another directory."
                )
        require_writable(output / "model", DeployError)


def file_size(path: Path) -> int:
    """Return the bytes of a file, or of all files in a directory."""
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())


def _card(found: Network, network: Any) -> ExportCard:
    """Return the card of the export; it has class names only for trained weights."""
    from training.settings.field_types import to_json

    record = found.record
    arguments = {key: to_json(value) for key, value in found.arguments.items()}
    names = found.card.classes if _names(found, network) else None
    return ExportCard(
        found.name,
        record.name if record else "",
        found.file.name if found.file else "",
        found.sha256,
        dataclasses.replace(found.card, classes=names, arguments=arguments),
    )


def _openvino(
    network: Any, output: Path, batch: int, preprocess: bool, found: Network, card: ExportCard
) -> int:
    from zoo.deploy.openvino.export import checked_openvino, save_openvino

    how = found.card.preprocessing
    scaling: dict[str, Any] = {"mean": how.mean, "std": how.std} if preprocess and how else {}
    converted, difference = checked_openvino(network, batch, preprocess=preprocess, **scaling)
    if names := _names(found, network):
        # OpenVINO's tools read the labels from this entry, separated by spaces.
        labels = " ".join(name.replace(" ", "_") for name in names)
        converted.set_rt_info(labels, ["model_info", "labels"])
    save_openvino(converted, output)
    write_card(output, card, ("model.xml", "model.bin"))
    _say(difference)
    return sum(node.get_type_name() == "BinaryConvolution" for node in converted.get_ops())


def _lce(network: Any, output: Path, allow_float: bool, card: ExportCard) -> int:
    from zoo.deploy.lce.export import checked_lce, count_binary_convolutions

    flatbuffer, difference = checked_lce(network, allow_float=allow_float)
    _write_flatbuffer(output, flatbuffer, card)
    _say(difference)
    return count_binary_convolutions(flatbuffer)


def _c(network: Any, output: Path, found: Network, card: ExportCard, **options: Any) -> int:
    from zoo.deploy import to_c

    how = found.card.preprocessing
    if how:
        options |= {"mean": how.mean, "std": how.std}
    exported = to_c(network, output, classes=_names(found, network), **options)
    write_card(output, card, ("model.json",))  # model.json has the digests of the other files
    _say(exported.difference)
    return len(exported.binary)


def _names(found: Network, network: Any) -> list[str] | None:
    """Return the names of the classes; None if they are unknown or the weights are random."""
    names = found.card.names
    fits = names is not None and network.output_shape[1:] == (len(names),)
    return names if fits and found.file is not None else None


def _onnx(network: Any, output: Path, card: ExportCard) -> int:
    from zoo.deploy.onnx.export import checked_onnx

    content, difference = checked_onnx(network, {NOTE: card.text()})
    _write(output, content)
    _say(difference)
    click.echo("ONNX has no type of one bit: binary weights are stored, and run, in float32.")
    return 0


def _write_flatbuffer(output: Path, flatbuffer: bytes, card: ExportCard) -> None:
    from zoo.deploy.lce.flatbuffer import with_note

    _write(output, with_note(flatbuffer, NOTE, card.text()))


def _write(output: Path, content: bytes) -> None:
    output.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(output, lambda file: file.write(content))


def _tflite(network: Any, output: Path, card: ExportCard) -> int:
    from zoo.deploy.lce.export import checked_tflite

    flatbuffer, difference = checked_tflite(network)
    _write_flatbuffer(output, flatbuffer, card)
    _say(difference)
    return 0


def _saved_model(network: Any, output: Path, card: ExportCard) -> int:
    def fill(folder: Path) -> None:
        network.save(folder, save_format="tf", include_optimizer=False)
        variables = (path.relative_to(folder) for path in (folder / "variables").iterdir())
        write_card(folder, card, ("saved_model.pb", *sorted(map(str, variables))))

    write_directory(output, fill)
    return 0


def _say(difference: float) -> None:
    click.echo(f"On random inputs it differs from Keras by {difference:.1e} (relative L2).")
