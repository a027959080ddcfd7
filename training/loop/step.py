"""The compiled part of training: steps and evaluation on `tf.distribute`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import tensorflow as tf

from training.loop.checkpoint import variable_names
from training.loop.losses import cross_entropy, distributional_loss
from training.loop.stage import Stage
from zoo.adapters.larq import latent_variable
from zoo.convolution import bfloat16_convolutions


def latent_variables(variables: list) -> list[tf.Variable]:
    """Return the plain variables; larq wraps those of binary kernels to quantize them when read."""
    return [latent_variable(variable) for variable in variables]


def _floating(model: tf.keras.Model) -> list[tf.Variable]:
    return [each for each in latent_variables(model.weights) if each.dtype.is_floating]


def _clock() -> tf.Tensor:
    """Return the time in seconds, float64. Deterministic ops forbid TensorFlow's timestamp op."""
    seconds = tf.numpy_function(time.perf_counter, [], tf.float64)
    return tf.ensure_shape(seconds, [])


def _wide(logits: tf.Tensor) -> tf.Tensor:
    """Cast 16-bit logits to float32: a softmax needs the precision."""
    return tf.cast(logits, tf.float32) if logits.dtype.size < 4 else logits


MOST_STEPS = 256  # steps in one call


class TrainStep:
    """Model, optimizer and running totals of one stage, and the function that updates them.

    Several steps run in one call, so that Python takes no time per step. The number of steps in a
    call does not change the result, not even by a bit.
    """

    def __init__(
        self,
        stage: Stage,
        model: tf.keras.Model,
        teacher: tf.keras.Model | None,
        normalise: Callable[[tf.Tensor], tf.Tensor] | None = None,
    ):
        """Make the step of `stage` on `model`; `normalise` converts uint8 images to float32."""
        self.stage, self.model, self.teacher, self.normalise = stage, model, teacher, normalise
        self.strategy = tf.distribute.get_strategy()
        replicas = self.strategy.num_replicas_in_sync
        self.local_replicas = len(self.strategy.extended.worker_devices) if replicas > 1 else 1
        self.trainable = latent_variables(list(stage.trains(model)))
        self.optimizer = stage.optimizer(stage.learning_rate)
        self.optimizer._create_all_weights(self.trainable)
        self.decayed = set()
        if stage.weight_decay:
            self.decayed = {v.ref() for v in latent_variables(list(stage.decays(model)))}
        # The averaged variables and their averages: all weights, including batch norm's statistics.
        self.averaged = _floating(model) if stage.ema else []
        self.averages = [
            tf.Variable(variable, trainable=False, aggregation=tf.VariableAggregation.MEAN)
            for variable in self.averaged
        ]
        # Sums over the epoch so far: loss, correct images, images.
        self.totals = tf.Variable(tf.zeros([3], tf.float64), trainable=False)
        self.first_bad_step = tf.Variable(-1, dtype=tf.int64, trainable=False)
        self.waited = tf.Variable(0.0, dtype=tf.float64, trainable=False)  # seconds, for input
        self.position = tf.Variable(0, dtype=tf.int64, trainable=False)

    def variables(self) -> dict[str, tf.Variable]:
        """Return all variables of a checkpoint, by names that are the same in every process."""
        weights = latent_variables(self.model.weights)
        names = dict(zip(map(id, weights), variable_names(self.model), strict=True))
        slots = {
            f"optimizer/{slot}/{names[id(variable)]}": self.optimizer.get_slot(variable, slot)
            for slot in self.optimizer.get_slot_names()
            for variable in self.trainable
        }
        averages = zip(self.averaged, self.averages, strict=True)
        return {
            **{f"model/{names[id(variable)]}": variable for variable in weights},
            "optimizer/iterations": self.optimizer.iterations,
            **slots,
            **{f"average/{names[id(of)]}": average for of, average in averages},
            "totals": self.totals,
            "position": self.position,
        }

    def by_name(self, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return a checkpoint's arrays by the names of `variables`; older files number them."""
        if "model/0" not in arrays:
            return dict(arrays)
        names = {id(variable): name for name, variable in self.variables().items()}
        numbered = {
            **{f"model/{i}": v for i, v in enumerate(latent_variables(self.model.weights))},
            **{f"optimizer/{i}": v for i, v in enumerate(self.optimizer.variables())},
        }
        return {
            names[id(numbered[key])] if key in numbered else key: value
            for key, value in arrays.items()
        }

    @contextmanager
    def averages_in_use(self) -> Iterator[None]:
        """Use the averages as the model's weights while the block runs."""
        before = [variable.numpy() for variable in self.averaged]
        self.use_averages()
        try:
            yield
        finally:
            for variable, value in zip(self.averaged, before, strict=True):
                variable.assign(value)

    def use_averages(self) -> None:
        """Replace the model's weights by the averages."""
        for variable, average in zip(self.averaged, self.averages, strict=True):
            variable.assign(average)

    def run(self, batches: Iterator, learning_rates: np.ndarray, first_step: int) -> np.ndarray:
        """Do one step per learning rate, at most `MOST_STEPS`.

        Args:
            batches: iterator over the (distributed) training data.
            learning_rates: (steps,).
            first_step: number of the first step.

        Returns:
            The positions of this worker's images, (steps, b) int64.
        """
        # The shape is always the same, so that TensorFlow traces the function only once.
        rates = np.zeros(MOST_STEPS, np.float32)
        rates[: len(learning_rates)] = learning_rates
        steps = tf.constant(len(learning_rates))
        first = tf.constant(first_step, tf.int64)
        # Set outside strategy.run: replicas trace in their own threads and would race on this.
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

    @tf.autograph.experimental.do_not_convert  # AutoGraph would change nothing and take seconds
    def _step(self, batch: dict[str, tf.Tensor]) -> tf.Tensor:
        images, labels = self._share(batch["image"]), self._share(batch["label"])
        if self.normalise and images.dtype == tf.uint8:
            images = self.normalise(images)
        seen = images  # the model's input; a teacher sees the whole images
        if size := self.stage.crop:
            top, left = ((length - size) // 2 for length in images.shape[1:3])
            seen = images[:, top : top + size, left : left + size]
        sums, gradients = self._gradients(seen, images, labels)
        self._update(gradients)
        self._average()
        return sums

    def _gradients(
        self, seen: tf.Tensor, images: tf.Tensor, labels: tf.Tensor
    ) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """Return sums over this replica's images (loss, correct, images) and the gradients."""
        parts = self.stage.accumulate
        if parts == 1:
            return self._part(seen, images, labels)
        size = (labels.shape[0] or tf.shape(labels)[0]) // parts
        sums: tf.Tensor = tf.zeros([3], tf.float64)
        gradients = [tf.zeros_like(variable) for variable in self.trainable]
        for i in range(parts):
            of = slice(i * size, (i + 1) * size)
            with tf.control_dependencies(gradients):  # one after the other, to save memory
                part = seen[of], images[of], labels[of]
                more, own = self._part(*part)
                sums = sums + more
                gradients = [a + b for a, b in zip(gradients, own, strict=True)]
        return sums, gradients

    def _part(
        self, seen: tf.Tensor, images: tf.Tensor, labels: tf.Tensor
    ) -> tuple[tf.Tensor, list[tf.Tensor]]:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(self.trainable)
            logits = _wide(self.model(seen, training=True))
            if self.teacher is None:
                losses = cross_entropy(logits, labels, self.stage.label_smoothing)
            else:
                losses = distributional_loss(logits, _wide(self.teacher(images, training=False)))
            loss = tf.reduce_sum(losses) / self.stage.batch_size
        found = tape.gradient(loss, self.trainable)
        gradients = [
            tf.zeros_like(variable) if gradient is None else gradient
            for gradient, variable in zip(found, self.trainable, strict=True)
        ]
        correct = tf.math.in_top_k(labels, tf.cast(logits, tf.float32), 1)
        sums = tf.stack(
            [
                tf.cast(tf.reduce_sum(losses), tf.float64),
                tf.cast(tf.math.count_nonzero(correct), tf.float64),
                tf.cast(tf.size(labels), tf.float64),
            ]
        )
        return sums, gradients

    def _update(self, gradients: list[tf.Tensor]) -> None:
        """Update the weights with the gradients of the loss over this replica's images."""
        replicas, clip = self.strategy.num_replicas_in_sync, self.stage.gradient_clip
        if not clip:
            # Replicas' gradients are summed, so each adds its share of the decay.
            decay = self.stage.weight_decay / replicas
            self.optimizer.apply_gradients(self._decayed(gradients, decay))
            return
        if replicas > 1:  # clip by the norm of the summed gradients
            context = tf.distribute.get_replica_context()
            gradients = context.all_reduce(tf.distribute.ReduceOp.SUM, gradients)
        gradients, _ = tf.clip_by_global_norm(gradients, clip)
        self.optimizer.apply_gradients(
            self._decayed(gradients, self.stage.weight_decay),
            experimental_aggregate_gradients=False,
        )

    def _decayed(self, gradients: list[tf.Tensor], decay: float) -> list[tuple]:
        """Return pairs of gradient and variable, with a weight decay of `decay`."""
        return [
            (gradient + decay * variable if variable.ref() in self.decayed else gradient, variable)
            for gradient, variable in zip(gradients, self.trainable, strict=True)
        ]

    def _average(self) -> None:
        """Move the averages towards the weights."""
        if not self.averages:
            return
        done = tf.cast(self.optimizer.iterations, tf.float32)
        decay = tf.minimum(self.stage.ema, (1.0 + done) / (10.0 + done))
        for average, variable in zip(self.averages, self.averaged, strict=True):
            rest = tf.cast(1.0 - decay, average.dtype)
            average.assign(average + rest * (variable - average))

    def _share(self, values: tf.Tensor) -> tf.Tensor:
        """Return this replica's part of its worker's batch."""
        if self.local_replicas == 1:
            return values
        index = tf.distribute.get_replica_context().replica_id_in_sync_group % self.local_replicas
        with tf.device("/CPU:0"):  # so that a device receives only its part
            size = tf.shape(values)[0] // self.local_replicas
            return values[index * size : (index + 1) * size]
