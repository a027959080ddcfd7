"""A progress bar that stays on one line of the terminal, whatever its width becomes."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from rich.cells import cell_len
from rich.console import Console
from rich.control import Control
from rich.progress import BarColumn, Progress, TextColumn
from rich.segment import ControlCode, ControlType
from rich.table import Column

REDRAWN_EVERY = 0.1  # minimum seconds between two drawings
BAR_LENGTHS = ((100, 20), (76, 8), (0, 2))  # (least columns of the terminal, length of the bar)

Wide = Sequence[tuple[int, str]]  # (least columns of the terminal, text to show)


class Parts(NamedTuple):
    """The texts before and behind the bar."""

    before: Wide
    behind: Wide


class OneLine(Progress):
    """A bar with text before and behind it; text that does not fit the terminal is omitted."""

    def __init__(self, total: int):
        """Make a bar that is full after `total` steps."""
        text = Column(no_wrap=True, overflow="crop")
        self._bar = BarColumn()
        super().__init__(
            TextColumn("{task.fields[before]}", table_column=text),
            self._bar,
            TextColumn("{task.fields[behind]}", table_column=text.copy(), markup=False),
            console=Console(),
            auto_refresh=False,
        )
        self._parts = Parts((), ())
        self._cells = 0  # width of the line when it was last drawn
        self._drawn = 0.0
        self._task = self.add_task("", total=total, before="", behind="")

    def start(self) -> None:
        """Start drawing."""
        super().start()
        self.refresh()

    def show(self, done: int, parts: Parts) -> None:
        """Show that `done` steps are done."""
        self._parts = parts
        self.update(self._task, completed=done)
        if time.monotonic() - self._drawn > REDRAWN_EVERY:
            self.refresh()

    def above(self, text: str) -> None:
        """Print a line above the bar."""
        self._fit()
        self.console.print(text, highlight=False, markup=False)

    def refresh(self) -> None:
        """Draw the line again, for the terminal's current width."""
        self._fit()
        self._drawn = time.monotonic()
        super().refresh()

    def _fit(self) -> None:
        width = self.console.width
        rows = math.ceil(self._cells / width) if self._cells else 1
        if rows > 1 and terminal_reflows():
            # The terminal became narrower and wrapped the line; rich knows only its last row.
            row: list[ControlCode] = [(ControlType.CURSOR_UP, 1), (ControlType.ERASE_IN_LINE, 2)]
            last: list[ControlCode] = [
                (ControlType.CARRIAGE_RETURN,),
                (ControlType.ERASE_IN_LINE, 2),
            ]
            erase = [*last, *(row * (rows - 1))]
            self.console.control(Control(*erase))
        task = self.tasks[0]
        self._bar.bar_width = next(length for least, length in BAR_LENGTHS if width >= least)
        before = _fitting(self._parts.before, width)
        behind = "  ".join([f"{task.percentage:>3.0f} %", _fitting(self._parts.behind, width)])
        task.fields.update(before=before, behind=behind)
        cells = cell_len(before) + self._bar.bar_width + cell_len(behind) + 2
        self._cells = min(cells, width) if self.live.is_started else 0


def _fitting(parts: Wide, width: int) -> str:
    return "  ".join(text for least, text in parts if width >= least)


def terminal_reflows(environment: Any = os.environ) -> bool:
    """Return whether the terminal wraps its lines again when it becomes narrower; most do."""
    kind = environment.get("TERM", "")
    plain_screen = kind.startswith("screen") and "TMUX" not in environment
    return "XTERM_VERSION" not in environment and kind != "linux" and not plain_screen
