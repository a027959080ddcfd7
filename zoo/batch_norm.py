"""Batch normalisation like PyTorch's, over all replicas that train together."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from zoo.errors import InvalidValueError
from zoo.keras_building import KnownShape


def _replicas() -> int:
    """Return the number of replicas that run this code at the same time."""
    context = tf.distribute.get_replica_context()
    return context.num_replicas_in_sync if context else 1


def _over_replicas(*values: tf.Tensor) -> list[tf.Tensor]:
    """Return the means over all replicas, which have equal shares of the batch."""
    if _replicas() == 1:
        return list(values)
    return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.MEAN, values)


def _sizes(x: tf.Tensor) -> list[Any]:
    """Return the size of each axis: a number if it is known, otherwise a tensor."""
    return [tf.shape(x)[axis] if size is None else size for axis, size in enumerate(x.shape)]


def _count(x: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
    """Return the number of values per channel."""
    batch, height, width, _ = _sizes(x)
    return tf.cast(batch * height * width, dtype)


def _pixel_mean(x: tf.Tensor) -> tf.Tensor:
    """Return the mean over batch and pixels, in three short sums.

    One long float32 sum loses 4 bits of precision.
    """
    return tf.reduce_mean(tf.reduce_mean(tf.reduce_mean(x, axis=2), axis=1), axis=0)


def _column_statistics(x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return mean and biased variance per column of pixels and channel, both (width, channels)."""
    if x.dtype != tf.float32:  # TensorFlow's fused kernels do not support float64
        mean = tf.reduce_mean(tf.reduce_mean(x, axis=1), axis=0)
        squares = tf.math.squared_difference(x, mean)
        return mean, tf.reduce_mean(tf.reduce_mean(squares, axis=1), axis=0)
    batch, height, width, channels = _sizes(x)
    lanes = width * channels
    fused = tf.raw_ops.FusedBatchNormV3(
        x=tf.reshape(x, [batch, height, 1, lanes]),
        scale=tf.ones([lanes]),
        offset=tf.zeros([lanes]),
        mean=tf.zeros([0]),
        variance=tf.zeros([0]),
        is_training=True,
    )
    count = tf.cast(batch * height, tf.float32)
    variance = fused.batch_variance * ((count - 1) / count)
    return tuple(tf.reshape(each, [width, channels]) for each in (fused.batch_mean, variance))


def _statistics(x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return mean and biased variance of each channel over batch and pixels of all replicas.

    They are combined from the statistics of each column of pixels, which need one pass over memory.
    Long float32 sums are not accurate enough, and squared differences need a second pass.
    """
    [mean] = _over_replicas(_pixel_mean(x))
    column_means, column_variances = _column_statistics(x)
    spread = tf.math.squared_difference(column_means, mean)
    [variance] = _over_replicas(tf.reduce_mean(column_variances + spread, axis=0))
    return mean, variance


def _normalize(
    x: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor, epsilon: float
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Normalise x for training; return the result, the mean and the biased variance of x."""

    @tf.custom_gradient
    def normalize(x: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor) -> Any:
        mean, variance = _statistics(x)
        if x.dtype == tf.float32:
            outputs = tf.raw_ops.FusedBatchNormV3(
                x=x,
                scale=gamma,
                offset=beta,
                mean=mean,
                variance=variance,
                epsilon=epsilon,
                is_training=False,
            ).y
        else:
            outputs = (x - mean) * (gamma * tf.math.rsqrt(variance + epsilon)) + beta

        def fused_gradient(dy: tf.Tensor, *_: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            gradients = tf.raw_ops.FusedBatchNormGradV3(
                y_backprop=dy,
                x=x,
                scale=gamma,
                reserve_space_1=mean,
                reserve_space_2=variance,
                reserve_space_3=tf.zeros([0]),
                epsilon=epsilon,
                is_training=True,
            )
            return gradients.x_backprop, gradients.scale_backprop, gradients.offset_backprop

        def gradient(dy: tf.Tensor, *_: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            centered, inverse = x - mean, tf.math.rsqrt(variance + epsilon)
            mean_dy, mean_dy_x = _over_replicas(_pixel_mean(dy), _pixel_mean(dy * centered))
            dx = (dy - mean_dy - centered * (mean_dy_x * inverse**2)) * (gamma * inverse)
            # The optimizer sums the gradients of all replicas for gamma and beta, so each replica
            # returns an equal share.
            count = _count(x, mean.dtype)
            return dx, mean_dy_x * inverse * count, mean_dy * count

        # The fused kernel knows only the pixels of this replica.
        fused = x.dtype == tf.float32 and _replicas() == 1
        return (outputs, mean, variance), fused_gradient if fused else gradient

    return normalize(x, gamma, beta)


@tf.keras.utils.register_keras_serializable(package="zoo")
class BatchNorm(KnownShape, tf.keras.layers.BatchNormalization):
    """Batch normalisation with PyTorch's constants and accuracy.

    The running variance is unbiased. The default momentum 0.9 equals PyTorch's 0.1. In training,
    statistics are summed accurately: TensorFlow's fused kernel has an error of 4e-6 in float32,
    which can change the sign of an activation. Under a `tf.distribute` strategy, the statistics are
    those of the whole batch, not of each replica's share.

    Input and output: (batch, height, width, channels).
    """

    def __init__(self, momentum: float = 0.9, epsilon: float = 1e-5, **kwargs: Any):
        super().__init__(momentum=momentum, epsilon=epsilon, **kwargs)

    def build(self, input_shape: tf.TensorShape) -> None:
        super().build(input_shape)
        if len(input_shape) != 4 or list(self.axis) != [3]:
            raise InvalidValueError(
                "BatchNorm normalises the last axis of (batch, height, width, channels), not axis "
                f"{self.axis} of {tuple(input_shape)}."
            )

    def add_weight(self, *args: Any, **kwargs: Any) -> tf.Variable:
        if kwargs.get("synchronization") == tf.VariableSynchronization.ON_READ:
            # Keras's running statistics differ between replicas, so a read needs all workers. Ours
            # never differ.
            kwargs["synchronization"] = tf.VariableSynchronization.AUTO
            kwargs["aggregation"] = tf.VariableAggregation.ONLY_FIRST_REPLICA
        return super().add_weight(*args, **kwargs)

    def call(self, inputs: tf.Tensor, training: Any = None) -> tf.Tensor:
        training = self._get_training_value(training)
        if not isinstance(training, (bool, int)):
            raise InvalidValueError("training must be True or False, not a tensor.")
        if not training:  # also if the layer is frozen: Keras's rule
            return super().call(inputs, training=False)
        x = tf.cast(inputs, self._param_dtype)  # statistics of 16-bit activations need 32 bits
        channels = x.shape[-1:]
        gamma = self.gamma if self.scale else tf.ones(channels, x.dtype)
        beta = self.beta if self.center else tf.zeros(channels, x.dtype)
        outputs, mean, variance = _normalize(x, gamma, beta, self.epsilon)
        count = _count(x, variance.dtype) * _replicas()
        unbiased = variance * count / tf.maximum(count - 1, 1)
        for average, value in ((self.moving_mean, mean), (self.moving_variance, unbiased)):
            step = (average - tf.stop_gradient(value)) * (1 - self.momentum)
            average.assign_sub(tf.cast(step, average.dtype))
        return tf.cast(outputs, inputs.dtype)
