"""Output of a run: a bar on a terminal, otherwise one line per epoch; tables at the end."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from datetime import timedelta
from typing import Any, Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from training.loop.stage import StageResult
from training.terminal import on_terminal, plain, print_table

ROOM_FOR_LOSS, ROOM_FOR_ALL, ROOM_FOR_LINE = 76, 100, 145  # columns that bars and lines take


def say(text: str) -> None:
    """One line for the user, at once; names of files in it cannot steer a terminal."""
    print(plain(text), flush=True)


def epoch_line(stage: str, row: dict[str, Any], epochs: int, short: bool = False) -> str:
    """One epoch's figures.

    Args:
        stage: its name.
        row: a line of the CSV log.
        epochs: of the stage.
        short: for a terminal of 80 columns, where the bar below names the stage.
    """
    epoch = f"epoch {row['epoch']}/{epochs}"
    figures = [f"loss {row['loss']:.4f}", f"top-1 {row['top1']:.2f} %"]
    if row["validation_top1"] is not None:  # where it was left out
        figures.append(f"validation {row['validation_top1']:.2f} %")
    speed = f"{row['images_per_second']:.0f} images/s"
    if short:
        return "  ".join([epoch, *figures, speed])
    rate, waiting = f"lr {row['learning_rate']:.2e}", f"{100 * row['input_wait']:.0f} %"
    seconds = f"{row['seconds']:.1f} s"
    return "  ".join([stage, epoch, *figures, rate, speed, f"waiting for input {waiting}", seconds])


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


class Course(Protocol):
    """What a bar shows: a stage, or one pass over the images."""

    @property
    def name(self) -> str: ...
    @property
    def epochs(self) -> int: ...
    @property
    def batch_size(self) -> int: ...


class Bar:
    """A stage's progress, counted in steps; nothing unless standard output is a terminal.

    Attributes:
        narrow: whether the line of an epoch should be short.
    """

    def __init__(self, stage: Course | None = None, steps: int = 0, done: int = 0):
        """`steps` of the stage in an epoch, and how many of the whole stage are done."""
        self.narrow = False
        self._progress: Progress | None = None
        if stage is None:  # not on a terminal
            return
        console = Console()
        self._width = console.width
        self.narrow = self._width < ROOM_FOR_LINE
        self._stage, self._steps = stage, steps
        # The first call compiles: its time says nothing of the next.
        self._began, self._first, self._compiled = time.monotonic(), done, False
        length = 2 + 6 * (self._width >= ROOM_FOR_LOSS) + 12 * (self._width >= ROOM_FOR_ALL)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(length),
            TextColumn("{task.percentage:>3.0f} %  {task.fields[figures]}"),
            console=console,
        )
        self._task = self._progress.add_task(
            self._where(done), total=steps * stage.epochs, completed=done, figures="compiling"
        )

    def _where(self, step: int) -> str:
        epoch = f"epoch {min(step // self._steps + 1, self._stage.epochs)}/{self._stage.epochs}"
        return f"{self._stage.name}  {epoch}" if self._width >= ROOM_FOR_ALL else epoch

    def update(self, step: int, loss: float, top1: float) -> None:
        """Show that `step` steps are done, with the epoch's figures so far."""
        if self._progress is None:
            return
        figures = [f"loss {loss:.3f}"] if self._width >= ROOM_FOR_LOSS else []
        if self._width >= ROOM_FOR_ALL:
            figures.append(f"top-1 {top1:.1f} %")
        seconds, steps = time.monotonic() - self._began, step - self._first
        if steps > 0 and self._compiled:
            figures.append(f"{steps * self._stage.batch_size / seconds:,.0f} images/s")
            left = seconds / steps * (self._steps * self._stage.epochs - step)
            figures.append(f"{timedelta(seconds=round(left))} left")
        else:
            self._began, self._first, self._compiled = time.monotonic(), step, True
        self._progress.update(
            self._task, completed=step, description=self._where(step), figures="  ".join(figures)
        )

    def line(self, text: str) -> None:
        """Print a line above the bar."""
        if self._progress:
            self._progress.console.print(plain(text), highlight=False, markup=False)
        else:
            say(text)


@contextmanager
def stage_bar(stage: Course, steps: int, done: int) -> Iterator[Bar]:
    """The bar of a stage of `steps` steps an epoch, of which `done` are done."""
    bar = Bar(stage, steps, done) if on_terminal() else Bar()
    with bar._progress or nullcontext():
        yield bar
