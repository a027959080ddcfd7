"""`lqz evaluate EXPORTED`: compares an export with its Keras network."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np

from training.commands.evaluate.accuracy import EvaluationSettings, one_pass
from training.commands.evaluate.accuracy_table import origin, write_row
from training.commands.evaluate.comparison import Comparison, Side
from training.commands.evaluate.export_table import ExportRow
from training.commands.evaluate.trained_network import TrainedNetwork, load
from training.data.pipeline import InputPipeline
from training.terminal import print_table
from zoo.deploy.card import ExportCard, kind_of, read_card
from zoo.deploy.runners import Runner, keras_runner, load_export
from zoo.errors import DeployError, InvalidValueError, WeightsError, printable
from zoo.files import require_writable

MOST_IMAGES = 20  # number of changed images that are printed
TOLERANCE = 0.2  # percentage of the images that may have another class


def evaluate_export(
    path: Path,
    conf: Mapping[str, Any],
    *,
    against: str | None,
    trusted: bool,
    tolerance: float | None,
    table: Path | None,
    command: str,
) -> bool:
    """Compare an export with Keras on all validation images; print and record the result.

    Args:
        path: the export.
        conf: fields of `EvaluationSettings`.
        against: the Keras network; None for the network that the export records.
        trusted: whether an export that is a program may run.
        tolerance: percentage of the images whose class may differ from Keras's; None for TOLERANCE.
        table: the table that the result is recorded in; None for no record.
        command: the command that the user typed.

    Returns:
        Whether the result is within the tolerance.

    Raises:
        ZooError: something does not exist, is damaged, or does not fit.
    """
    if table:
        require_writable(table)  # before the wait
    kind = kind_of(path)
    assert kind
    card = read_card(path, kind)
    source = against or source_of(path, card)
    runner = load_export(path, trusted=trusted)
    arguments = dict((card and card.card.arguments) or {}) if against is None else {}
    network, evaluation = load(source, {**arguments, **conf})
    _check_weights(card, network, against is not None)
    keras = keras_runner(network.model)
    require_same_ends(runner, keras, network.name)
    how = evaluation.preprocessing
    name = format_of(path)
    found, pipeline = one_pass(
        evaluation, network.model.name, Comparison(keras, {name: runner}, how.mean, how.std).run
    )
    click.echo(
        f"{printable(str(path))} ({runner.title}) beside {network.name} ({network.weights}) in "
        f"Keras on {evaluation.dataset_name}, split {evaluation.dataset.validation_split}, "
        f"{found.images:,} images\n"
    )
    print_sides(found, found.exports[name])
    print_changed(found.exports[name], evaluation, pipeline)
    passed = within(found, found.exports[name], tolerance)
    if table:
        row = make_row(found, name, runner, network, evaluation, path, command)
        write_row(table, row)
        click.echo(f"Recorded in {table}.")
    return passed


def source_of(path: Path, card: ExportCard | None) -> str:
    """Return the Keras network that the export records, as MODEL/SET.

    Raises:
        InvalidValueError: the export records no network, or no set of weights with a name.
    """
    shown = printable(str(path))
    if card is None:
        raise InvalidValueError(
            f"'{shown}' does not record its network: give --against with the run, the file or the "
            "model."
        )
    if not card.weights:
        raise InvalidValueError(
            f"'{shown}' was exported with random weights of {printable(card.network)}: it cannot "
            "be compared."
        )
    if not card.set_name:
        raise InvalidValueError(
            f"'{shown}' was exported from {printable(card.weights)} of {printable(card.network)}: "
            "give --against with that file or its run."
        )
    return f"{card.network}/{card.set_name}"


def _check_weights(card: ExportCard | None, network: TrainedNetwork, given: bool) -> None:
    """Raise WeightsError for other weights than the export's; if the user named them, print it."""
    if card is None or not card.sha256 or card.sha256 == network.sha256:
        return
    what = (
        f"The export was made from other weights ({printable(card.weights)}, sha256 "
        f"{printable(card.sha256[:8])}) than these of {network.name} (sha256 {network.sha256[:8]})"
    )
    if not given:
        raise WeightsError(f"{what}: export it again, or name the network with --against.")
    click.echo(f"{what}.")


def require_same_ends(runner: Runner, keras: Runner, name: str) -> None:
    """Raise a DeployError if an export's input or output sizes differ from the Keras network's."""
    sizes = zip(runner.input_shape, keras.input_shape, strict=True)
    if any(None not in pair and pair[0] != pair[1] for pair in sizes):
        raise DeployError(
            f"The export takes images of {runner.input_shape}, and {name} of {keras.input_shape}: "
            "they are not the same network."
        )
    if runner.outputs != keras.outputs:
        raise DeployError(
            f"The export has {runner.outputs} classes, and {name} {keras.outputs}: they "
            "are not the same network."
        )


def format_of(path: Path) -> str:
    """Return the format of an export, as in `lqz export --format`."""
    kind = kind_of(path)
    if kind == "tflite":
        from zoo.deploy import count_binary_convolutions

        return "lce" if count_binary_convolutions(path.read_bytes()) else "tflite"
    return str(kind)


def print_sides(found: Comparison, side: Side) -> None:
    """Print the accuracies and speeds of Keras and of the export."""
    both = (found.keras, side)
    print_table(
        ("", "Keras", "export"),
        [
            ("top-1", *(f"{100 * each.right / found.images:.2f} %" for each in both)),
            ("images/s", *(f"{each.images_per_second:,.0f}" for each in both)),
        ],
        right=(1, 2),
    )
    figures = "probabilities" if side.probabilities else "logits"
    click.echo(f"\nLargest difference of {figures}: {side.difference:.2g}")


def print_changed(side: Side, evaluation: EvaluationSettings, pipeline: InputPipeline) -> None:
    """Print the images that have another class than in Keras, the largest margins first."""
    if not side.changed:
        return
    shown = sorted(side.changed, key=lambda each: -each.margin)[:MOST_IMAGES]
    positions = np.sort([each.position for each in shown])
    names = dict(zip(positions.tolist(), pipeline.validation_names(positions), strict=True))
    classes = evaluation.dataset.class_names
    rows = [
        (
            str(each.position),
            printable(names[each.position]),
            classes[each.label],
            classes[each.keras],
            classes[each.export],
            f"{each.margin:.2g}",
        )
        for each in shown
    ]
    heads = ("image", "name", "class", "Keras", "export", "margin of the logits")
    print_table(heads, rows, right=(0, 5))
    if len(side.changed) > len(shown):
        click.echo(f"and {len(side.changed) - len(shown)} more with smaller margins")


def within(found: Comparison, side: Side, tolerance: float | None) -> bool:
    """Print how many images changed their class; return whether it is within the tolerance."""
    allowed = TOLERANCE if tolerance is None else tolerance
    share = 100 * len(side.changed) / found.images
    passed = share <= allowed + 1e-9
    click.echo(
        f"{len(side.changed)} of {found.images:,} images have a different class ({share:.2g} %): "
        f"{'within' if passed else 'beyond'} the tolerance of {allowed:g} %."
    )
    return passed


def make_row(
    found: Comparison,
    name: str,
    runner: Runner,
    network: TrainedNetwork,
    evaluation: EvaluationSettings,
    path: Path,
    command: str,
) -> ExportRow:
    """Return the result as a row of the table."""
    side = found.exports[name]
    changed: Sequence[Any] = [
        (each.position, each.keras, each.export, float(f"{each.margin:.3g}"))
        for each in side.changed
    ]
    return ExportRow(
        model=network.name,
        weights=network.weights,
        weights_sha256=network.sha256,
        format=name,
        dataset=evaluation.dataset_name,
        split=evaluation.dataset.validation_split,
        images=found.images,
        keras_top1=round(100 * found.keras.right / found.images, 4),
        top1=round(100 * side.right / found.images, 4),
        changed=len(changed),
        margin=max((each[-1] for each in changed), default=None),
        changed_images=json.dumps(changed, separators=(",", ":")),
        difference=float(f"{side.difference:.3g}"),
        figures="probabilities" if side.probabilities else "logits",
        keras_images_per_second=round(found.keras.images_per_second, 1),
        images_per_second=round(side.images_per_second, 1),
        bytes=bytes_of(path),
        runtime=runner.title,
        command=command,
        **origin(),
    )


def bytes_of(path: Path) -> int:
    """Return the bytes of an export: of its file, or of all files of its folder."""
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())
