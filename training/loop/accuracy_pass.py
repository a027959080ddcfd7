"""Accuracy over a whole data set, one compiled call per batch."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import tensorflow as tf

from training.loop.losses import cross_entropy
from zoo.untrusted.opening import available_memory


class AccuracyPass:
    """Compute the accuracy over a whole data set, and the confusion matrix."""

    def __init__(self, model: tf.keras.Model):
        self.model = model
        signature = [
            tf.TensorSpec([None, *model.input_shape[1:]], tf.float32),
            tf.TensorSpec([None], tf.int32),
        ]
        self._batch = tf.function(self._evaluate, input_signature=signature, autograph=False)

    def _evaluate(self, images: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return sums over the batch (loss, in top 1, in top 5), and the predicted classes."""
        logits = tf.cast(self.model(images, training=False), tf.float32)
        # If logits are equal, the lower class comes first. So a network with constant outputs is
        # correct for one class; with `in_top_k` it would be correct for all classes.
        top = tf.math.top_k(logits, min(5, logits.shape[-1])).indices
        hits = top == labels[:, tf.newaxis]
        totals = tf.stack(
            [
                tf.cast(tf.reduce_sum(cross_entropy(logits, labels)), tf.float64),
                tf.cast(tf.math.count_nonzero(hits[:, 0]), tf.float64),
                tf.cast(tf.math.count_nonzero(hits), tf.float64),
            ]
        )
        return totals, top[:, 0]

    def run(
        self,
        batches: Iterable[dict[str, tf.Tensor]],
        progress: Callable[[int, float, float], None] | None = None,
        confusion: bool = True,
    ) -> tuple[dict[str, Any], np.ndarray]:
        """Make one pass over `batches`; call `progress(batches done, loss, top1)` after each.

        Returns:
            A dict of loss (nats), top1 and top5 (percent), images, and confusion: int64
            [classes, classes], the number of images of each class (row) by predicted class
            (column); None if not asked for, or too large for the memory.
            The positions of the images that were seen, int64 [images].
        """
        classes = self.model.output_shape[-1]
        totals, positions, images = np.zeros(3), [], 0
        confusion = confusion and 4 * 8 * classes**2 < available_memory()
        counts = np.zeros(classes * classes if confusion else 0, np.int64)
        for step, batch in enumerate(batches, start=1):
            sums, predicted = self._batch(batch["image"], batch["label"])
            totals += sums.numpy()
            positions.append(batch["position"].numpy())
            if confusion:
                cells = batch["label"].numpy() * classes + predicted.numpy()
                np.add.at(counts, cells, 1)  # bincount would read classes ** 2 numbers per batch
            images += len(predicted)
            if progress and images:
                progress(step, totals[0] / images, 100 * totals[1] / images)
        seen: Any = np.concatenate(positions) if positions else np.zeros(0, np.int64)
        images = max(1, images)
        result = {
            "loss": totals[0] / images,
            "top1": 100 * totals[1] / images,
            "top5": 100 * totals[2] / images,
            "images": int(seen.size),
            "confusion": counts.reshape(classes, classes) if confusion else None,
        }
        return result, seen
