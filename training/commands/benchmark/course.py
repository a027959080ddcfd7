"""What `lqz benchmark` shows while it measures: the model, the runtime, the time left."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import timedelta

import click

from training.terminal import on_terminal, plain


class Course:
    """On a terminal, one line that is updated; elsewhere one line for each model."""

    def __init__(self, models: int, threads: Sequence[int], batches: Sequence[int]):
        self._models, self._begun = models, 0
        self._parts, self._finished = models * len(threads) * len(batches), 0
        self._name, self._shown = "", False
        self._since = time.monotonic()

    def begin(self, model: str, text: str) -> None:
        """Show which model comes next."""
        self._begun += 1
        self._name = f"{plain(model)} ({self._begun} of {self._models})"
        if on_terminal():
            self.say(text)
        else:
            click.echo(f"Measuring {self._name} ...", err=True)

    def say(self, text: str) -> None:
        """Show the current step."""
        if not on_terminal():
            return
        from rich.console import Console

        line = f"{self._name}: {text}{self._left()}"
        click.echo(f"\r\x1b[2K{line[: Console().width - 1]}", nl=False)
        self._shown = True

    def done(self) -> None:
        """Count one batch size and number of threads as measured in all runtimes."""
        self._finished += 1

    def hide(self) -> None:
        """Erase the line, so that a table can be printed."""
        if self._shown:
            click.echo("\r\x1b[2K", nl=False)
            self._shown = False

    def _left(self) -> str:
        if not self._finished:
            return ""
        seconds = (time.monotonic() - self._since) / self._finished
        left = round(seconds * (self._parts - self._finished))
        return f", {timedelta(seconds=left)} left"

    def __enter__(self) -> Course:
        return self

    def __exit__(self, *_: object) -> None:
        self.hide()
