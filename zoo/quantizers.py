"""The four papers' estimators, as larq quantizers.

Each quantizer maps real numbers to two values per filter. The derivative of the sign is zero almost
everywhere, so each replaces it by an estimate. `ApproximateSign` and `StraightThroughSign` are
bit-identical to larq's `approx_sign` and `ste_sign`, but their gradients need half the passes over
memory: masks use `relu` and its gradient, because TensorFlow's `where` is slow.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ml_dtypes as dtypes
import tensorflow as tf

from zoo.adapters import larq
from zoo.errors import InvalidValueError

Gradient = Callable[[tf.Tensor], tf.Tensor]


def _wide(x: tf.Tensor) -> tf.Tensor:
    """Convert 16-bit floats to float32: a mean over thousands of weights needs the precision."""
    return tf.cast(x, tf.float32) if x.dtype.size == 2 else x


def _filter_axes(kernel: tf.Tensor) -> list[int]:
    """Return all axes except the last: a Keras kernel is HWIO, with the filters last."""
    return list(range(kernel.shape.rank - 1))


def where_within_one(dy: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
    """Return dy where |x| <= 1, else 0."""
    above_one = 1 + float(dtypes.finfo(x.dtype.as_numpy_dtype).eps)
    return tf.raw_ops.ReluGrad(gradients=dy, features=above_one - tf.abs(x))


@tf.custom_gradient
def _clipped_sign(x: tf.Tensor) -> tuple[tf.Tensor, Gradient]:
    return larq.sign(x), lambda dy: where_within_one(dy, x)


@tf.custom_gradient
def _approximate_sign(x: tf.Tensor) -> tuple[tf.Tensor, Gradient]:
    return larq.sign(x), lambda dy: dy * tf.nn.relu(2 - 2 * tf.abs(x))


@tf.custom_gradient
def _scaled_sign(kernel: tf.Tensor) -> tuple[tf.Tensor, Gradient]:
    scale = tf.reduce_mean(tf.abs(_wide(kernel)), axis=_filter_axes(kernel))
    quantized = tf.cast(scale, kernel.dtype) * larq.sign(kernel)
    return quantized, lambda dy: where_within_one(dy, kernel)


def register(quantizer: type) -> type:
    """Register a class with Keras, also by its bare name: larq looks it up so for HDF5 files."""
    larq.register_keras_custom_object(quantizer)
    return tf.keras.utils.register_keras_serializable(package="zoo")(quantizer)


class _Registered(larq.Quantizer):
    precision = 1
    scaled = False  # the two values are -1 and 1


@register
class ApproximateSign(_Registered):
    r"""sign(x) with the gradient `max(0, 2 - 2|x|)` (Bi-Real Net, 1808.00278, section 3.3).

    Input and output: of any shape, any float dtype; sign(0) = 1.
    """

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return _approximate_sign(inputs)


@register
class StraightThroughSign(_Registered):
    r"""sign(x) with the gradient 1 where `|x| <= 1`, else 0 (1602.02830).

    Input and output: of any shape, any float dtype; sign(0) = 1.
    """

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return _clipped_sign(inputs)


@register
class ScaledSign(_Registered):
    r"""`mean(|w|) * sign(w)`, the mean over each filter (Bi-Real Net and ReActNet, authors' code).

    The gradient to w equals that of the binary kernel where `|w| <= 1`, else it is 0. The scale
    does not multiply the gradient and is not differentiated. larq's `magnitude_aware_sign` has the
    same values, but the paper's magnitude-aware gradient (1808.00278, section 3.3), which it
    multiplies by the scale.

    Input and output: a kernel of shape (h, w, in, out), any float dtype.
    """

    scaled = True

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return _scaled_sign(inputs)


@register
class EDESign(_Registered):
    r"""sign(x) with the error decay estimator of IR-Net, as SD-BNN uses it on CIFAR-10.

    The gradient is `k * t * (1 - tanh(t * x)**2)` with `k = max(1 / t, 1)`. A schedule sets `t`
    once per epoch (see `training.loop.schedules`); it is not a weight and is not saved.

    Args:
        t: the initial sharpness, > 0. With t = 1 the estimate is the derivative of tanh.

    Input and output: of any shape, any float dtype; sign(0) = 1.
    """

    def __init__(self, t: float = 1.0, **kwargs: Any):
        super().__init__(**kwargs)
        if not t > 0:
            raise InvalidValueError(f"t must be greater than 0, not {t}.")
        self.initial_t = float(t)
        self.t = tf.Variable(self.initial_t, trainable=False, dtype=tf.float64, name="ede_t")

    @property
    def non_trainable_weights(self) -> list[tf.Variable]:
        return []  # `t` is not a weight but a hyper-parameter that a schedule changes

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        t = tf.cast(self.t, inputs.dtype)
        k = tf.cast(tf.maximum(1 / self.t, 1), inputs.dtype)

        @tf.custom_gradient
        def sign(x: tf.Tensor, k: tf.Tensor, t: tf.Tensor) -> tuple[tf.Tensor, Gradient]:
            def gradient(dy: tf.Tensor) -> tuple[tf.Tensor, None, None]:
                # TanhGrad is dy * (1 - y^2) in one pass.
                return tf.raw_ops.TanhGrad(y=tf.tanh(t * x), dy=dy * (k * t)), None, None

            return larq.sign(x), gradient

        return sign(inputs, k, t)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "t": self.initial_t}


@register
class SelfDistributionSign(_Registered):
    r"""SD-BNN's weight self-distribution: `sign(w + sigmoid(alpha) * 0.01 * mean(w))`.

    From 2103.02394, section on WSD. The mean is over each filter and is not differentiated. Each
    filter has one `alpha`, learned from 0. There is no scaling factor.

    Args:
        estimator: "ste" (gradient 1 where the shifted weight lies in [-1, 1]; ImageNet) or "ede"
            (see `EDESign`; CIFAR-10).
        t: initial sharpness of the "ede" estimator.

    Input and output: a kernel of shape (h, w, in, out), any float dtype.
    """

    def __init__(self, estimator: str = "ste", t: float = 1.0, **kwargs: Any):
        super().__init__(**kwargs)
        if estimator not in ("ste", "ede"):
            raise InvalidValueError(f"estimator must be 'ste' or 'ede', not '{estimator}'.")
        self.estimator = estimator
        self.ede = EDESign(t, dtype=self._dtype_policy) if estimator == "ede" else None

    def build(self, input_shape: tf.TensorShape) -> None:
        # For every weight of a convolution, larq counts multiply-accumulates unless its name
        # contains "bias". This weight shifts the kernel and multiplies nothing at inference.
        self.alpha = self.add_weight(
            "alpha_bias", shape=(input_shape[-1],), initializer="zeros", trainable=True
        )
        super().build(input_shape)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        mean = tf.stop_gradient(tf.reduce_mean(_wide(inputs), axis=_filter_axes(inputs)))
        shift = tf.sigmoid(tf.cast(self.alpha, mean.dtype)) * 0.01 * mean
        shifted = inputs + tf.cast(shift, inputs.dtype)
        return self.ede(shifted) if self.ede else _clipped_sign(shifted)

    def get_config(self) -> dict[str, Any]:
        t = self.ede.initial_t if self.ede else 1.0
        return {**super().get_config(), "estimator": self.estimator, "t": t}
