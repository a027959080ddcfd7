"""The errors that a user can cause. The command line prints one sentence and exits with 2."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class ZooError(Exception):
    """Base class of all errors that this project raises on purpose; the text says how to fix it."""


class UnknownNameError(ZooError):
    """A model, task, data set, key or weight set that does not exist."""

    def __init__(self, kind: str, name: str, valid: Iterable[str]):
        self.kind, self.name, self.valid = kind, name, sorted(valid)
        super().__init__(
            f"There is no {kind} '{name}'{suggestion(name, self.valid)} "
            f"Valid names: {', '.join(self.valid)}."
        )


class InvalidValueError(ZooError):
    """A value of the wrong type or out of range."""


class KerasVersionError(ZooError):
    """Keras 3 is already active, but larq needs Keras 2."""


class WeightsError(ZooError):
    """Weights that cannot be found, read, or fitted to a model."""


class FileError(ZooError):
    """A file of the wrong kind, damaged, or unsafe to read."""


class DatasetError(ZooError):
    """A data set that is not on disk, is damaged, or does not fit."""


class RunError(ZooError):
    """A training run that cannot start, continue or finish."""


class WorkerLostError(RunError):
    """Another worker of a run is gone; this worker may wait `minutes` for it."""

    def __init__(self, message: str, minutes: float):
        super().__init__(message)
        self.minutes = minutes


class ResultsError(ZooError):
    """Results that cannot be read or written."""


class DeployError(ZooError):
    """A model that cannot be exported, or a runtime that is not installed."""


class ZooWarning(UserWarning):
    """Base class of all warnings that this project gives on purpose."""


class DeployWarning(ZooWarning):
    """A deployed model that will be slower or larger than it should be."""


def suggestion(name: str, valid: Iterable[str]) -> str:
    """Return `; did you mean 'X'?` with the most similar valid name; without one, a full stop."""
    by_folded = {candidate.casefold(): candidate for candidate in valid}
    near = difflib.get_close_matches(name.casefold(), by_folded, n=1, cutoff=0.5)
    return f"; did you mean '{by_folded[near[0]]}'?" if near else "."


def printable(text: str, most: int = 200) -> str:
    """Make a text or name from a file safe for one line of a terminal."""
    return "".join(each if each.isprintable() else "?" for each in text[:most])
