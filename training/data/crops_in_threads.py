"""Cut photographs in Python's threads, some chunks ahead of their use.

With Pillow in TensorFlow's own threads, half of the epochs that were measured on two cores used
both; with these threads all did.
"""

from __future__ import annotations

import itertools
import os
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import tensorflow as tf

from training.data.photographs import RandomCrops

CHUNK = 32  # photographs; of fewer, a larger part of the time goes into what Pillow does not do


class CropsInThreads:
    """Random crops for the epochs of a training, one after the other.

    Args:
        crops: how the photographs are cut.
    """

    def __init__(self, crops: RandomCrops):
        self._crops = crops
        self._threads = os.cpu_count() or 1
        self._pool = ThreadPoolExecutor(self._threads)
        self._waiting: dict[tuple[int, int], Future] = {}  # by epoch and chunk
        self._epochs = itertools.count()

    def of(self, chunks: tf.data.Dataset, key: int) -> tf.data.Dataset:
        """Return chunks whose "image" is uint8 [n, *shape], without those that Pillow cannot read.

        `chunks` have "image" (file contents, string [n]), "label" and "position", [n] each. `key`
        is the epoch's seed. Chunks that the epoch before the last has left are forgotten.
        """
        epoch, numbers = next(self._epochs), itertools.count()
        for each in [each for each in self._waiting if each[0] < epoch - 1]:
            del self._waiting[each]

        # TensorFlow keeps these functions for ever: they hold nothing that is large.
        def submit(files: np.ndarray, positions: np.ndarray) -> np.int64:
            number = next(numbers)
            task = self._pool.submit(self._crops.pixels, files.tolist(), key, positions)
            self._waiting[epoch, number] = task
            return np.int64(number)

        def result(number: np.int64) -> tuple[np.ndarray, np.ndarray]:
            return self._waiting.pop((epoch, int(number))).result()

        def begin(chunk: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
            number = tf.numpy_function(submit, [chunk["image"], chunk["position"]], tf.int64)
            return {**chunk, "image": tf.ensure_shape(number, [])}

        def end(chunk: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
            images, kept = tf.numpy_function(result, [chunk["image"]], [tf.uint8, tf.int64])
            kept = tf.ensure_shape(kept, [None])
            return {
                "image": tf.ensure_shape(images, [None, *self._crops.shape]),
                "label": tf.gather(chunk["label"], kept),
                "position": tf.gather(chunk["position"], kept),
            }

        return chunks.map(begin).prefetch(2 * self._threads).map(end)
