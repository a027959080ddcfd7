"""The compiled part of training: steps and evaluation on `tf.distribute`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from training.loop.losses import cross_entropy, distributional_loss
from training.loop.stage import Stage
from zoo.convolution import bfloat16_convolutions


def latent_variables(variables: list) -> list[tf.Variable]:
    """The variables themselves, where larq wraps binary kernels that are quantised when read."""
    return [getattr(variable, "latent_variable", variable) for variable in variables]


def _clock() -> tf.Tensor:
    """Seconds, float64; TensorFlow's own timestamp is not to be had under deterministic ops."""
    seconds = tf.numpy_function(time.perf_counter, [], tf.float64)
    return tf.ensure_shape(seconds, [])


def _wide(logits: tf.Tensor) -> tf.Tensor:
    """16-bit logits as float32: a softmax needs the precision."""
    return tf.cast(logits, tf.float32) if logits.dtype.size < 4 else logits


MOST_STEPS = 256  # in one call


class TrainStep:
    """Model, optimizer and running totals of one stage, and the function that moves them.

    Several steps run in one call, so that Python costs nothing per step; how many does not change
    the result by a bit.
    """

    def __init__(self, stage: Stage, model: tf.keras.Model, teacher: tf.keras.Model | None):
        self.stage, self.model, self.teacher = stage, model, teacher
        self.strategy = tf.distribute.get_strategy()
        replicas = self.strategy.num_replicas_in_sync
        self.local_replicas = len(self.strategy.extended.worker_devices) if replicas > 1 else 1
        self.trainable = latent_variables(list(stage.trains(model)))
        self.optimizer = stage.optimizer(stage.learning_rate)
        self.optimizer._create_all_weights(self.trainable)
        self.decayed = set()
        if stage.weight_decay:
            self.decayed = {v.ref() for v in latent_variables(list(stage.decays(model)))}
        # Sums over the epoch so far, in order of the steps: loss, correct images, images.
        self.totals = tf.Variable(tf.zeros([3], tf.float64), trainable=False)
        self.first_bad_step = tf.Variable(-1, dtype=tf.int64, trainable=False)
        self.waited = tf.Variable(0.0, dtype=tf.float64, trainable=False)  # seconds, for input
        self.position = tf.Variable(0, dtype=tf.int64, trainable=False)

    def variables(self) -> dict[str, tf.Variable]:
        """All that a checkpoint must hold."""
        return {
            **{f"model/{i}": v for i, v in enumerate(latent_variables(self.model.weights))},
            **{f"optimizer/{i}": v for i, v in enumerate(self.optimizer.variables())},
            "totals": self.totals,
            "position": self.position,
        }

    def run(self, batches: Iterator, learning_rates: np.ndarray, first_step: int) -> np.ndarray:
        """One step per learning rate, at most `MOST_STEPS`.

        Args:
            batches: iterator over the (distributed) training data.
            learning_rates: (steps,).
            first_step: number of the first.

        Returns:
            The positions of this worker's images, (steps, b) int64.
        """
        # Always of one shape, so that this is traced once.
        rates = np.zeros(MOST_STEPS, np.float32)
        rates[: len(learning_rates)] = learning_rates
        steps = tf.constant(len(learning_rates))
        first = tf.constant(first_step, tf.int64)
        # Around the tracing of all replicas: in each of them, their threads would mix it up.
        with bfloat16_convolutions(self.stage.bfloat16):
            return self._run(batches, rates, steps, first).numpy()

    @tf.function
    def _run(
        self, batches: Iterator, learning_rates: tf.Tensor, steps: tf.Tensor, first_step: tf.Tensor
    ) -> tf.Tensor:
        seen = tf.TensorArray(tf.int64, size=steps)
        for i in tf.range(steps):
            before = _clock()
            batch = next(batches)
            self.waited.assign_add(_clock() - before)
            self.optimizer.learning_rate.assign(learning_rates[i])
            totals = self.strategy.run(self._step, args=(batch,))
            totals = self.strategy.reduce(tf.distribute.ReduceOp.SUM, totals, axis=None)
            is_new_bad = ~tf.math.is_finite(totals[0]) & (self.first_bad_step < 0)
            step = first_step + tf.cast(i, tf.int64)
            self.first_bad_step.assign(tf.where(is_new_bad, step, self.first_bad_step))
            self.totals.assign_add(totals)
            positions = tf.concat(self.strategy.experimental_local_results(batch["position"]), 0)
            self.position.assign(positions[-1] + 1)
            seen = seen.write(i, positions)
        return seen.stack()

    @tf.autograph.experimental.do_not_convert  # nothing to convert, which takes seconds to find out
    def _step(self, batch: dict[str, tf.Tensor]) -> tf.Tensor:
        images, labels = self._share(batch["image"]), self._share(batch["label"])
        seen = images  # by the model; a teacher sees all of them
        if size := self.stage.crop:
            top, left = ((length - size) // 2 for length in images.shape[1:3])
            seen = images[:, top : top + size, left : left + size]
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(self.trainable)
            logits = _wide(self.model(seen, training=True))
            if self.teacher is None:
                losses = cross_entropy(logits, labels, self.stage.label_smoothing)
            else:
                losses = distributional_loss(logits, _wide(self.teacher(images, training=False)))
            loss = tf.reduce_sum(losses) / self.stage.batch_size
        gradients = tape.gradient(loss, self.trainable)
        pairs = [(self._decay(g, v), v) for g, v in zip(gradients, self.trainable, strict=True)]
        self.optimizer.apply_gradients(pairs)
        correct = tf.math.in_top_k(labels, tf.cast(logits, tf.float32), 1)
        return tf.stack([
            tf.cast(tf.reduce_sum(losses), tf.float64),
            tf.cast(tf.math.count_nonzero(correct), tf.float64),
            tf.cast(tf.size(labels), tf.float64),
        ])  # fmt: skip

    def _share(self, values: tf.Tensor) -> tf.Tensor:
        """This replica's part of its worker's batch."""
        if self.local_replicas == 1:
            return values
        index = tf.distribute.get_replica_context().replica_id_in_sync_group % self.local_replicas
        with tf.device("/CPU:0"):  # so that a device gets its part only
            size = tf.shape(values)[0] // self.local_replicas
            return values[index * size : (index + 1) * size]

    def _decay(self, gradient: tf.Tensor | None, variable: tf.Variable) -> tf.Tensor:
        gradient = tf.zeros_like(variable) if gradient is None else gradient
        if variable.ref() not in self.decayed:
            return gradient
        # Replicas' gradients are summed: each adds its share.
        share = self.stage.weight_decay / self.strategy.num_replicas_in_sync
        return gradient + share * variable


class AccuracyPass:
    """Accuracy over a whole data set, and which class was taken for which."""

    def __init__(self, model: tf.keras.Model):
        self.model = model
        signature = [
            tf.TensorSpec([None, *model.input_shape[1:]], tf.float32),
            tf.TensorSpec([None], tf.int32),
        ]
        self._batch = tf.function(self._evaluate, input_signature=signature, autograph=False)

    def _evaluate(self, images: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Sums over the batch (loss, in top 1, in top 5), and the predicted classes."""
        logits = tf.cast(self.model(images, training=False), tf.float32)
        # Of equal logits the lower class comes first: a network that has collapsed to a constant
        # is right for one class, not for all of them, as `in_top_k` would have it.
        top = tf.math.top_k(logits, min(5, logits.shape[-1])).indices
        hits = top == labels[:, tf.newaxis]
        totals = tf.stack([
            tf.cast(tf.reduce_sum(cross_entropy(logits, labels)), tf.float64),
            tf.cast(tf.math.count_nonzero(hits[:, 0]), tf.float64),
            tf.cast(tf.math.count_nonzero(hits), tf.float64),
        ])  # fmt: skip
        return totals, top[:, 0]

    def run(
        self,
        batches: Iterable[dict[str, tf.Tensor]],
        progress: Callable[[int, float, float], None] | None = None,
    ) -> tuple[dict[str, Any], np.ndarray]:
        """One pass over `batches`; `progress` is told (batches done, loss, top1) after each.

        Returns:
            A dict of loss (nats), top1 and top5 (percent), images, and confusion: int64
            [classes, classes], the images of each class (row) by predicted class (column).
            The positions that were seen, int64 [images].
        """
        classes = self.model.output_shape[-1]
        totals, positions, images = np.zeros(3), [], 0
        confusion = np.zeros(classes * classes, np.int64)
        for step, batch in enumerate(batches, start=1):
            sums, predicted = self._batch(batch["image"], batch["label"])
            totals += sums.numpy()
            positions.append(batch["position"].numpy())
            cells = batch["label"].numpy() * classes + predicted.numpy()
            np.add.at(confusion, cells, 1)  # bincount would pass over classes ** 2 numbers a batch
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
            "confusion": confusion.reshape(classes, classes),
        }
        return result, seen
