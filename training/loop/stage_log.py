"""The records of a stage's epochs: `log.csv`, and TensorBoard's events."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import tensorflow as tf

from training.loop.progress import say
from zoo.files import write_csv


class StageLog:
    """Writes a stage's epochs into its directory."""

    def __init__(self, directory: Path, tensorboard: bool):
        self.path = directory / "log.csv"
        self._writer: Any = None
        if tensorboard:
            self._writer = self._kept(lambda: tf.summary.create_file_writer(str(directory)))

    def write(self, history: list[dict[str, Any]]) -> None:
        """Write all epochs as a table again, and the last one as events."""
        write_csv(self.path, history[-1], history)
        if self._writer is not None:
            self._kept(lambda: self._add(history[-1]))

    def _add(self, row: dict[str, Any]) -> None:
        with self._writer.as_default(step=row["epoch"]):
            for name, value in row.items():
                if isinstance(value, (int, float)):  # not the device's name
                    tf.summary.scalar(name, value)
        self._writer.flush()

    def _kept(self, action: Callable[[], Any]) -> Any:
        """Call `action`. If events cannot be written, training continues without them."""
        try:
            return action()
        except tf.errors.OpError as error:
            self._writer = None
            say(f"TensorBoard's events are no longer written ({error.message.splitlines()[0]}).")
            return None
