"""`lqz evaluate`: the accuracy of a network, compared with the recorded figure."""

from __future__ import annotations

import itertools
import json
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from training.commands import completion
from training.commands.evaluate.recorded_figure import (
    OWN_TOLERANCE,
    PUBLISHED_TOLERANCE,
    compare,
    recorded_figure,
)
from training.commands.network import find
from training.terminal import load_tensorflow, print_table
from zoo import catalog
from zoo.errors import InvalidValueError, printable
from zoo.files import require_writable

if TYPE_CHECKING:
    import numpy as np

    from training.commands.evaluate.accuracy import EvaluationSettings
    from training.commands.evaluate.accuracy_table import AccuracyRow
    from training.commands.evaluate.trained_network import TrainedNetwork

MOST_CLASSES, WORST_CLASSES = 20, 10  # up to 20 classes all are shown; of more, the 10 worst
DEFAULT = "results/accuracy.csv"  # equals accuracy_table.ACCURACY, which --help does not import
EXPORTS = "results/exports.csv"  # export_table.EXPORTS


@click.command()
@click.argument("model", shell_complete=completion.models)
@click.argument("settings", nargs=-1)
@click.option(
    "--tolerance",
    type=click.FloatRange(min=0),
    help=f"Largest allowed difference from the recorded top-1 in points; by default "
    f"{OWN_TOLERANCE} for our figures, {PUBLISHED_TOLERANCE} for published ones. For an "
    "export: largest percentage of images whose class may differ from Keras's, by default 0.2.",
)
@click.option(
    "--against",
    metavar="MODEL",
    help="The source of an export that does not record it: a model of `lqz list`, a run or a file.",
)
@click.option(
    "--trust-program",
    is_flag=True,
    help="Run an export that is a program: C source, or a SavedModel.",
)
@click.option(
    "--picture",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="Where to draw the confusion matrix; by default confusion-MODEL.png, in the run directory "
    "if there is one.",
)
@click.option(
    "--record",
    is_flag=False,
    flag_value=DEFAULT,
    metavar="[CSV]",
    help=f"Add the result to a table, by default {DEFAULT}; for an export, {EXPORTS}.",
)
def evaluate(
    model: str,
    settings: Sequence[str],
    tolerance: float | None,
    against: str | None,
    trust_program: bool,
    picture: Path | None,
    record: str | None,
) -> int:
    """Measure top-1 and top-5 accuracy of MODEL on all validation images.

    MODEL is a run directory of `lqz train`, which knows its data set; a .keras, .h5 or .npz file;
    or a model of `lqz list`, with its trained weights or those of weights=FILE. SETTINGS are
    key=value: dataset, dataset.data_dir, preprocessing.input_shape, batch_size and so on, for a
    model of the list also arguments of its constructor.

    MODEL may also be what `lqz export` wrote, in any format: it is then compared with the Keras
    network that it was exported from.

    Exit code 1: top-1 differs from the recorded figure by more than the tolerance, or an export
    differs from Keras on more images than allowed.
    """
    if record and "=" in record and not record.endswith(".csv"):
        record, settings = DEFAULT, [record, *settings]  # for `--record weights=x`
    if record and not record.endswith(".csv"):
        raise InvalidValueError(f"--record writes a .csv file, not '{record}'; put it last.")
    if picture and picture.suffix.lower() != ".png":
        raise InvalidValueError(f"--picture writes a .png file, not '{picture}'.")

    from training.settings.configuration import parse_assignments

    conf = parse_assignments(settings)
    found = find(model, exports=True)
    command = shlex.join(["lqz", "evaluate", model, *settings])
    if found.kind == "export":
        assert found.path
        if picture:
            raise InvalidValueError("--picture is for a Keras network, not for an export.")
        table = Path(EXPORTS if record == DEFAULT else record) if record else None
        return _evaluate_export(found.path, conf, against, trust_program, tolerance, table, command)
    if against or trust_program:
        option = "--against" if against else "--trust-program"
        raise InvalidValueError(
            f"{option} is for exports, but '{printable(model)}' is not an export."
        )
    load_tensorflow()
    from training.commands.evaluate.accuracy import measure
    from training.commands.evaluate.accuracy_table import read_rows, write_row
    from training.commands.evaluate.confusion_picture import draw_confusion
    from training.commands.evaluate.trained_network import load

    accuracies = Path(record or DEFAULT)
    network, evaluation = load(model, conf)
    if picture is None:
        picture = picture_path(network, evaluation)
    for path in (picture, *([accuracies] if record else [])):
        require_writable(path)  # before the wait
    before = read_rows(accuracies)

    result = measure(network.model, evaluation)
    row = make_row(network, evaluation, result, command)
    names = evaluation.dataset.class_names
    click.echo(
        f"{row.model} ({row.weights}) on {row.dataset}, split {row.split}\n"
        f"top-1  {row.top1:.2f} %\ntop-5  {row.top5:.2f} %\nof {row.images:,} images\n"
    )
    if result["confusion"] is None:
        click.echo(
            f"{len(names):,} classes are too many for a confusion matrix in the free memory."
        )
    else:
        print_classes(result["confusion"], names)
        draw_confusion(result["confusion"], names, f"{row.model} on {row.dataset}", picture)
        click.echo(f"\nConfusion matrix: {picture}")
    recorded = recorded_figure(network, evaluation, row, before, accuracies)
    passed = compare(row.top1, recorded, tolerance)
    if record and (passed or not (recorded and recorded.ours)):
        write_row(accuracies, row)
        click.echo(f"Recorded in {accuracies}.")
    elif record:
        click.echo(
            "Not recorded, because it differs from our own figure; a larger --tolerance allows it."
        )
    return 0 if passed else 1


def picture_path(network: TrainedNetwork, evaluation: EvaluationSettings) -> Path:
    """Return the path of the confusion matrix: in the run's directory, if there is a run.

    A picture for other images than the run's gets a new name, so it replaces no other picture.
    """
    if network.directory is None:
        return Path(f"confusion-{network.name}.png")
    if network.same_images:
        return network.directory / f"confusion-{network.name}.png"
    split = re.sub(r"\W+", "-", evaluation.dataset.validation_split)
    data = re.sub(r"\W+", "-", evaluation.dataset_name)
    stem = f"confusion-{network.name}-{data}-{split}"
    numbered = (
        f"{stem}{number}.png"
        for number in itertools.chain([""], (f"-{n}" for n in itertools.count(2)))
    )
    return next(
        path for path in (network.directory / name for name in numbered) if not path.exists()
    )


def _evaluate_export(
    path: Path,
    conf: Any,
    against: str | None,
    trusted: bool,
    tolerance: float | None,
    table: Path | None,
    command: str,
) -> int:
    load_tensorflow()
    from training.commands.evaluate.exported import evaluate_export

    command += f" --against {shlex.quote(against)}" if against else ""
    command += " --trust-program" if trusted else ""
    passed = evaluate_export(
        path,
        conf,
        against=against,
        trusted=trusted,
        tolerance=tolerance,
        table=table,
        command=command,
    )
    return 0 if passed else 1


def make_row(
    network: TrainedNetwork, evaluation: EvaluationSettings, result: dict[str, Any], command: str
) -> AccuracyRow:
    """Return the result as a row of the table."""
    from training.commands.evaluate.accuracy import depends_on
    from training.commands.evaluate.accuracy_table import AccuracyRow, origin
    from training.data.conventions import COMPONENTS
    from training.settings.shortest_command import shortest_command
    from zoo.profile import profile

    published = None
    if network.name in (row.model for row in catalog.rows()):
        of_catalog = catalog.row(network.name)
        if COMPONENTS[of_catalog.dataset] == evaluation.dataset_name:
            published = of_catalog.top1
    top1 = round(result["top1"], 4)
    stages = network.stages
    train_top1 = stages[-1].train_top1 if stages else None
    return AccuracyRow(
        model=network.name,
        params=profile(network.model).params,
        dataset=evaluation.dataset_name,
        split=evaluation.dataset.validation_split,
        images=result["images"],
        top1=top1,
        top5=round(result["top5"], 4),
        published_top1=published,
        gap=None if published is None else round(top1 - published, 4),
        weights_sha256=network.sha256,
        weights=network.weights,
        recipe=compact(network.recipe),
        evaluation=compact(depends_on(evaluation)),
        epochs=" ".join(f"{stage.name.replace(' ', '-')}={stage.epochs}" for stage in stages),
        train_top1=None if train_top1 is None else round(train_top1, 4),
        train_seconds=round(sum(s.seconds for s in stages), 1) if stages else None,
        trained_by=shortest_command(network.recipe) if stages else "",
        devices="; ".join(f"{s.name}: {s.devices}" for s in stages if s.devices),
        seed=network.recipe.get("seed"),
        command=command,
        **origin(),
    )


def compact(value: Any) -> str:
    """Return JSON without spaces."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def print_classes(confusion: np.ndarray, names: Sequence[str]) -> None:
    """Print the accuracy of each class; if there are many, of the worst."""
    counts = confusion.sum(1)
    right = confusion.diagonal()
    present = [label for label in range(len(names)) if counts[label]]
    if len(present) > MOST_CLASSES:
        worst = sorted(present, key=lambda label: right[label] / counts[label])[:WORST_CLASSES]
        click.echo(f"The {WORST_CLASSES} worst of {len(present)} classes:")
        present = worst
    rows = []
    for label in present:
        others = confusion[label].copy()
        others[label] = 0
        taken = f"{names[others.argmax()]} ({others.max()})" if others.any() else ""
        share = f"{100 * right[label] / counts[label]:.2f} %"
        rows.append([names[label], str(counts[label]), share, taken])
    print_table(["class", "images", "accuracy", "most often predicted as"], rows, right=(1, 2))
