"""The figure to compare an accuracy with: the run's, the table's, the set's or the paper's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from training.commands.evaluate.accuracy import EvaluationSettings
    from training.commands.evaluate.accuracy_table import AccuracyRow
    from training.commands.evaluate.trained_network import TrainedNetwork

OWN_TOLERANCE, PUBLISHED_TOLERANCE = 0.1, 0.5  # points of top-1


@dataclass(frozen=True)
class Recorded:
    """A figure to compare with: top1 in percent, its source, and the default tolerance."""

    top1: float
    source: str
    tolerance: float
    ours: bool


def recorded_figure(
    network: TrainedNetwork,
    evaluation: EvaluationSettings,
    row: AccuracyRow,
    before: Sequence[AccuracyRow],
    table: Path,
) -> Recorded | None:
    """Return the figure that `row` is compared with; None if there is none.

    The order is: the run's own figure, the table's, the figure in the set's record, the paper's. A
    figure is used only if it is for the same part of the same data set.
    """
    dataset = evaluation.dataset
    trained_on = (network.recipe.get("dataset"), network.recipe.get("dataset.validation_split"))
    if not network.same_images:
        click.echo("The run was validated on other images.")
    elif network.stages and trained_on == (type(dataset).__name__, row.split):
        last = network.stages[-1]
        if last.images == dataset.num_examples(row.split):
            source = f"recorded by the run's stage '{last.name}'"
            return Recorded(last.top1, source, OWN_TOLERANCE, True)
    for other in before:
        if other.key == row.key and other.images == row.images:
            return Recorded(other.top1, f"recorded in {table}", OWN_TOLERANCE, True)
    whole = row.split == type(dataset).__component_fields__["validation_split"].get_default(dataset)
    if whole and (found := recorded_with_set(network, row)):
        return found
    if row.published_top1 is not None and whole:
        return Recorded(row.published_top1, "published", PUBLISHED_TOLERANCE, False)
    return None


def recorded_with_set(network: TrainedNetwork, row: AccuracyRow) -> Recorded | None:
    """Return the figure in the package's record of the set, if it is for this data set."""
    from training.data.conventions import COMPONENTS

    record = network.record
    if record is None or record.measured_top1 is None:
        return None
    if COMPONENTS.get(record.dataset) != row.dataset:
        return None
    source = f"recorded of the set '{record.name}'"
    return Recorded(record.measured_top1, source, OWN_TOLERANCE, True)


def compare(top1: float, recorded: Recorded | None, tolerance: float | None) -> bool:
    """Print the difference from the recorded figure; return whether it is within the tolerance."""
    if recorded is None:
        click.echo("No accuracy is recorded for these weights on these images.")
        return True
    allowed = recorded.tolerance if tolerance is None else tolerance
    difference = top1 - recorded.top1
    # Floats round: 88.5 - 88.4 is a little more than 0.1.
    passed = abs(difference) <= allowed + 1e-9
    click.echo(
        f"Difference {difference:+.2f} points from the {recorded.top1:.2f} % {recorded.source}: "
        f"{'within' if passed else 'beyond'} the tolerance of {allowed:g}."
    )
    return passed
