"""Output of a run: a bar on a terminal, otherwise one line per epoch; tables at the end."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from datetime import timedelta
from typing import Any, Protocol

from training.loop.one_line import OneLine, Parts
from training.loop.stage import StageResult
from training.terminal import on_terminal, plain, print_table

# Least columns of a terminal for the bar to show more, and for the long line of an epoch.
ROOM_FOR_TIME, ROOM_FOR_LOSS, ROOM_FOR_ALL, ROOM_FOR_LINE = 50, 76, 100, 145


def say(text: str) -> None:
    """Print one line at once, without control characters that a file's name may contain."""
    print(plain(text), flush=True)


def epoch_line(stage: str, row: dict[str, Any], epochs: int, short: bool = False) -> str:
    """Return the line that shows an epoch's figures.

    Args:
        stage: name of the stage.
        row: a row of the CSV log.
        epochs: number of epochs of the stage.
        short: for a terminal of 80 columns, where the bar below shows the stage's name.
    """
    epoch = f"epoch {row['epoch']}/{epochs}"
    figures = [f"loss {row['loss']:.4f}", f"top-1 {row['top1']:.2f} %"]
    if row["validation_top1"] is not None:  # None if this epoch was not validated
        figures.append(f"validation {row['validation_top1']:.2f} %")
    speed = f"{row['images_per_second']:.0f} images/s"
    if short:
        return "  ".join([epoch, *figures, speed])
    rate, waiting = f"lr {row['learning_rate']:.2e}", f"{100 * row['input_wait']:.0f} %"
    seconds = f"{row['seconds']:.1f} s"
    return "  ".join([stage, epoch, *figures, rate, speed, f"waiting for input {waiting}", seconds])


def print_results(results: Sequence[StageResult]) -> None:
    """Print the table at a run's end: a row per stage, and their sum."""

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
    """The work that a bar shows: a stage, or one pass over the images."""

    @property
    def name(self) -> str: ...
    @property
    def epochs(self) -> int: ...
    @property
    def batch_size(self) -> int: ...


class Bar:
    """A bar of a stage's steps; shown only if standard output is a terminal."""

    def __init__(self, stage: Course | None = None, steps: int = 0, done: int = 0):
        """`steps`: steps per epoch; `done`: steps of the whole stage that are done."""
        self._line: OneLine | None = None
        if stage is None:  # not on a terminal
            return
        self._stage, self._steps = stage, steps
        # The first call compiles, so its time does not predict the next.
        self._began, self._first, self._compiled = time.monotonic(), done, False
        self._line = OneLine(steps * stage.epochs)
        self._line.show(done, self._parts(done, [(0, "compiling")]))

    @property
    def narrow(self) -> bool:
        """Return whether the line of an epoch should be short."""
        return self._line is not None and self._line.console.width < ROOM_FOR_LINE

    def _parts(self, step: int, figures: list[tuple[int, str]]) -> Parts:
        epoch = f"epoch {min(step // self._steps + 1, self._stage.epochs)}/{self._stage.epochs}"
        return Parts([(ROOM_FOR_ALL, self._stage.name), (0, epoch)], figures)

    def update(self, step: int, loss: float, top1: float) -> None:
        """Show that `step` steps are done, with the epoch's figures so far."""
        if self._line is None:
            return
        figures = [(ROOM_FOR_LOSS, f"loss {loss:.3f}"), (ROOM_FOR_ALL, f"top-1 {top1:.1f} %")]
        seconds, steps = time.monotonic() - self._began, step - self._first
        if steps > 0 and self._compiled:
            figures.append((0, f"{steps * self._stage.batch_size / seconds:,.0f} images/s"))
            left = seconds / steps * (self._steps * self._stage.epochs - step)
            figures.append((ROOM_FOR_TIME, f"{timedelta(seconds=round(left))} left"))
        else:
            self._began, self._first, self._compiled = time.monotonic(), step, True
        self._line.show(step, self._parts(step, figures))

    def line(self, text: str) -> None:
        """Print a line above the bar."""
        if self._line:
            self._line.above(plain(text))
        else:
            say(text)


@contextmanager
def stage_bar(stage: Course, steps: int, done: int) -> Iterator[Bar]:
    """Show the bar of a stage with `steps` steps per epoch; `done` steps are already done."""
    bar = Bar(stage, steps, done) if on_terminal() else Bar()
    with bar._line or nullcontext():
        yield bar
