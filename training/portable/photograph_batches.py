"""Crop a program's photographs in threads, some batches ahead of the training step.

This file needs only NumPy and Pillow; a program contains it beside `run.py`.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

try:
    from training.data.photographs import RandomCrops
except ImportError:  # in a training program
    from photographs import RandomCrops  # type: ignore[import-not-found, no-redef]

AHEAD = 3  # batches that are prepared ahead
CHUNK = 16  # photographs per task of a thread


class UnreadableImageError(Exception):
    """An image that cannot be decoded."""


class PhotographBatches:
    """Random crops of image files.

    Args:
        parts: bytes of many image files, one after the other.
        sizes: bytes of each file, in the order of the parts, int64 [n].
        crops: how to cut them.
    """

    def __init__(self, parts: Sequence[bytes], sizes: np.ndarray, crops: RandomCrops):
        self.parts, self.sizes, self.crops = parts, sizes, crops
        ends = np.cumsum(sizes)
        part_ends = np.cumsum([len(part) for part in parts])
        self.part_of = np.searchsorted(part_ends, ends)
        self.starts = ends - sizes - (part_ends - [len(part) for part in parts])[self.part_of]

    def file(self, index: int) -> bytes:
        """Return the content of an image file."""
        start = self.starts[index]
        return bytes(self.parts[self.part_of[index]][start : start + self.sizes[index]])

    def cut(self, key: int, positions: np.ndarray, indices: np.ndarray, batch: np.ndarray) -> None:
        """Write the images `indices`, cropped for `positions` of an epoch, to `batch`.

        `batch` is uint8 [n, h, w, c]. Raises UnreadableImageError for the first image that cannot
        be decoded.
        """
        files = [self.file(i) for i in indices]
        _, kept = self.crops.pixels(files, key, positions, into=batch)
        if len(kept) < len(indices):
            number = indices[np.setdiff1d(np.arange(len(indices)), kept)[0]]
            raise UnreadableImageError(f"Training image {number} of the program cannot be decoded.")

    def batches(self, key: int, positions: np.ndarray, indices: np.ndarray) -> Iterator[np.ndarray]:
        """Yield the batches of an epoch, uint8 [b, h, w, c] each.

        Args:
            key: the epoch's seed.
            positions: the images' positions in the epoch, [steps, b].
            indices: the images' indices in the data set, [steps, b].
        """
        pool = ThreadPoolExecutor(os.cpu_count())
        waiting: deque[tuple[np.ndarray, list[Future]]] = deque()
        try:
            for where, which in zip(positions, indices, strict=True):
                batch = np.empty((len(which), *self.crops.shape), np.uint8)
                chunks = [slice(i, i + CHUNK) for i in range(0, len(which), CHUNK)]
                tasks = [pool.submit(self.cut, key, where[c], which[c], batch[c]) for c in chunks]
                waiting.append((batch, tasks))
                if len(waiting) > AHEAD:
                    yield _finished(*waiting.popleft())
            while waiting:
                yield _finished(*waiting.popleft())
        finally:
            pool.shutdown(cancel_futures=True)


def _finished(batch: np.ndarray, tasks: Sequence[Future]) -> np.ndarray:
    """Return a batch when all its parts are written."""
    for task in tasks:
        task.result()
    return batch
