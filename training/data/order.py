"""The order of the training images in an epoch, and the share of each worker.

A *position* is an index into an epoch's shuffled order. The order repeats: position n (the number
of training images) is the first image again. Each worker owns fixed positions: a contiguous slice
of every `batch_size` consecutive positions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from zoo.errors import InvalidValueError


@dataclass(frozen=True)
class Order:
    """The order of the images in all epochs.

    Attributes:
        images: number of training images.
        batch_size: images per step over all workers.
        seed: 0 or more.
        shard: (i, n), this process is worker i of n.
    """

    images: int
    batch_size: int
    seed: int
    shard: tuple[int, int]

    def __post_init__(self) -> None:
        """Raise InvalidValueError for values that do not fit."""
        worker, workers = self.shard
        for name, least in (("batch_size", 1), ("seed", 0)):
            if (value := getattr(self, name)) < least:
                raise InvalidValueError(f"{name}={value} must be {least} or more.")
        if not 0 <= worker < workers or self.batch_size % workers:
            raise InvalidValueError(
                f"A batch of {self.batch_size} cannot be split for worker {worker} of {workers}: "
                "give a batch_size that is a multiple of the number of workers, and number workers "
                "from 0."
            )
        check_enough(self.images, self.batch_size)

    def key(self, epoch: int) -> int:
        """Return a seed of 31 bits for an epoch."""
        return int(np.random.SeedSequence([self.seed, epoch]).generate_state(1)[0] >> 1)

    def of_images(self, key: int) -> np.ndarray:
        """Return the shuffled indices of all images, int [images], for the key of an epoch."""
        return np.random.Generator(np.random.Philox(key)).permutation(self.images)

    def own(self, start: int, end: int) -> np.ndarray:
        """Return which positions in [start, end) belong to this worker: bool [end - start]."""
        worker, workers = self.shard
        return np.arange(start, end) % self.batch_size * workers // self.batch_size == worker

    def only_own(self, records: tf.data.Dataset) -> tf.data.Dataset:
        """Keep the pairs (position, anything) with a position that belongs to this worker."""
        worker, workers = self.shard
        if workers == 1:
            return records
        size = self.batch_size
        return records.filter(lambda position, _: position % size * workers // size == worker)


def check_enough(images: int, batch_size: int) -> None:
    """Raise InvalidValueError if there are fewer images than a batch needs."""
    if images < batch_size:
        raise InvalidValueError(
            f"A batch of {batch_size} is larger than the {images} training images: give "
            f"batch_size={2 ** max(images // 20, 1).bit_length() // 2}, for example."
        )
