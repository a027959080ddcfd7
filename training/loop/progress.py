"""What a run shows: a bar on a terminal, one line an epoch elsewhere; tables at the end."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from training.loop.stage import StageResult
from training.terminal import on_terminal, plain, print_table


def say(text: str) -> None:
    """One line for the user, at once; names of files in it cannot steer a terminal."""
    print(plain(text), flush=True)


def epoch_line(stage: str, row: dict[str, Any], epochs: int) -> str:
    """One epoch's figures: `row` is a line of the CSV log."""
    validation = row["validation_top1"]  # None where it was left out
    return (
        f"{stage}  epoch {row['epoch']}/{epochs}  loss {row['loss']:.4f}  "
        f"top-1 {row['top1']:.2f} %  "
        f"{'' if validation is None else f'validation {validation:.2f} %  '}"
        f"lr {row['learning_rate']:.2e}  {row['images_per_second']:.0f} images/s  "
        f"waiting for input {100 * row['input_wait']:.0f} %  {row['seconds']:.1f} s"
    )


def print_results(results: Sequence[StageResult]) -> None:
    """The table at a run's end: a row per stage, and their sum."""

    def clock(seconds: float) -> str:
        return time.strftime("%H:%M:%S" if seconds >= 3600 else "%M:%S", time.gmtime(seconds))

    rows = [
        (
            stage.name,
            str(stage.epochs),
            "" if stage.train_top1 is None else f"{stage.train_top1:.2f} %",
            f"{stage.top1:.2f} %",
            clock(stage.seconds),
        )
        for stage in results
    ]
    epochs, seconds = sum(s.epochs for s in results), sum(s.seconds for s in results)
    print_table(
        ("stage", "epochs", "top-1 train", f"top-1 of {results[-1].images:,}", "time"),
        [*rows, ("all", str(epochs), "", "", clock(seconds))],
        right=range(1, 5),
    )


class Bar:
    """A stage's progress, counted in steps; nothing unless standard output is a terminal."""

    def __init__(self, progress: Progress | None, task: Any):
        self._progress, self._task = progress, task

    def update(self, step: int, loss: float, top1: float) -> None:
        """Show that `step` steps are done, with the epoch's figures so far."""
        if self._progress:
            figures = f"loss {loss:.3f}  top-1 {top1:.1f} %"
            self._progress.update(self._task, completed=step, figures=figures)

    def line(self, text: str) -> None:
        """Print a line above the bar."""
        if self._progress:
            self._progress.console.print(plain(text), highlight=False, markup=False)
        else:
            say(text)


@contextmanager
def stage_bar(name: str, total_steps: int, done: int) -> Iterator[Bar]:
    """The bar of one stage."""
    if not on_terminal():
        yield Bar(None, None)
        return
    columns = (
        TextColumn("{task.description}"), BarColumn(),
        TextColumn("{task.percentage:>3.0f} %  {task.fields[figures]}"), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=Console()) as progress:
        yield Bar(progress, progress.add_task(name, total=total_steps, completed=done, figures=""))
