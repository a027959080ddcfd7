"""Outputs of exports on a data set, compared with Keras."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from zoo.deploy.runners import Runner, are_probabilities, as_pixels, softmax
from zoo.errors import DeployError, WeightsError


@dataclass(frozen=True)
class Changed:
    """An image whose class differs from Keras's.

    Attributes:
        position: position of the image in its split.
        label: its true class.
        keras, export: the classes that Keras and the export predict.
        margin: Keras's output for the class it predicts, minus its output for the export's class.
    """

    position: int
    label: int
    keras: int
    export: int
    margin: float


@dataclass
class Side:
    """The figures of Keras or of an export over all images.

    Attributes:
        right: number of correctly classified images.
        batches: images and seconds of each batch.
        difference: an export's largest difference of a single output from Keras.
        probabilities: whether an export returns probabilities; None before the first batch.
        changed: the images that an export classifies differently.
    """

    right: int = 0
    difference: float = 0.0
    probabilities: bool | None = None
    changed: list[Changed] = field(default_factory=list)
    batches: list[tuple[int, float]] = field(default_factory=list)

    @property
    def images_per_second(self) -> float:
        """Return the speed without the first of several batches, which includes set-up."""
        images, seconds = map(sum, zip(*(self.batches[1:] or self.batches), strict=True))
        return images / seconds


class Comparison:
    """One pass over a data set with a Keras network and its exports.

    Args:
        keras: returns the network's outputs, usually logits.
        exports: the exports by name.
        mean, std: the normalisation of the images.
    """

    def __init__(
        self,
        keras: Runner,
        exports: Mapping[str, Runner],
        mean: Sequence[float],
        std: Sequence[float],
    ):
        self.runner, self.runners = keras, dict(exports)
        self.mean, self.std = mean, std
        self.images = 0
        self.keras = Side()
        self.exports = {name: Side() for name in exports}

    def run(
        self, batches: Iterable[Mapping[str, Any]], update: Callable[[int, float, float], None]
    ) -> tuple[Comparison, np.ndarray]:
        """Compare all batches; return the comparison and the positions of the images.

        Raises:
            ZooError: Keras's network or an export outputs NaN or infinity.
        """
        seen: list[np.ndarray] = [np.empty(0, np.int64)]
        for step, batch in enumerate(batches, start=1):
            images, labels, positions = (
                batch[key].numpy() for key in ("image", "label", "position")
            )
            logits = self._timed(self.keras, self.runner, images)
            if not np.isfinite(logits).all():
                raise WeightsError("With these weights Keras's network outputs NaN or infinity.")
            self.keras.right += int(np.sum(logits.argmax(-1) == labels))
            for name, runner in self.runners.items():
                side = self.exports[name]
                given = as_pixels(images, self.mean, self.std) if runner.pixels else images
                found = self._timed(side, runner, given)
                if not np.isfinite(found).all():
                    raise DeployError(f"The export to {name} outputs NaN or infinity.")
                _compare(side, logits, found, labels, positions)
            seen.append(positions)
            self.images += len(images)
            update(step, 0.0, 100 * self.keras.right / self.images)
        return self, np.concatenate(seen)

    @staticmethod
    def _timed(side: Side, runner: Runner, images: np.ndarray) -> np.ndarray:
        start = time.perf_counter()
        outputs = runner(images)
        side.batches.append((len(images), time.perf_counter() - start))
        return outputs


def _compare(
    side: Side, logits: np.ndarray, found: np.ndarray, labels: np.ndarray, positions: np.ndarray
) -> None:
    """Add a batch to the figures of an export."""
    if side.probabilities is None:
        side.probabilities = are_probabilities(found)
    own = are_probabilities(logits)
    expected = softmax(logits) if side.probabilities and not own else logits
    side.difference = max(side.difference, float(np.abs(found - expected).max(initial=0)))
    ours, theirs = logits.argmax(-1), found.argmax(-1)
    side.right += int(np.sum(theirs == labels))
    for index in np.flatnonzero(ours != theirs):
        one, other = int(ours[index]), int(theirs[index])
        margin = float(logits[index, one] - logits[index, other])
        side.changed.append(Changed(int(positions[index]), int(labels[index]), one, other, margin))
