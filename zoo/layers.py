"""The papers' building blocks that Keras and larq do not have.

All tensors are channels-last. Layers that replace PyTorch layers pad symmetrically, like PyTorch.
At stride 2, TensorFlow's "same" pads an even-sized image less at the top and left.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import tensorflow as tf

from zoo.activations import leaky_clip, rprelu, shifted_by
from zoo.adapters import larq
from zoo.batch_norm import BatchNorm as BatchNorm
from zoo.convolution import convolve
from zoo.errors import InvalidValueError
from zoo.keras_building import KnownShape

register = tf.keras.utils.register_keras_serializable(package="zoo")


@contextmanager
def _without_constraint_warning() -> Iterator[None]:
    """Switch off larq's warning about binary kernels without a constraint; the papers use none."""
    logger = logging.getLogger("larq.layers_base")
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before


@register
class SymmetricConv2D(KnownShape, larq.QuantConv2D):
    """larq's QuantConv2D with PyTorch's symmetric zero padding of `kernel_size // 2`.

    The layer pads after it quantises the input, so that the padding of a binary convolution is 0
    and not +1. Without quantizers it is a real-valued convolution. By default it has no bias and
    "same" padding. A dilated kernel gets `dilation_rate` times this padding.

    Args: those of `larq.layers.QuantConv2D`.

    Input: (batch, height, width, in). Output: (batch, ceil(height / stride), ceil(width / stride),
    filters) with "same" padding and an odd kernel.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: Any,
        *,
        padding: str = "same",
        use_bias: bool = False,
        **kwargs: Any,
    ):
        with _without_constraint_warning():
            super().__init__(filters, kernel_size, padding=padding, use_bias=use_bias, **kwargs)
        self.input_spec = tf.keras.layers.InputSpec(ndim=4)
        if padding == "same" and any(size % 2 == 0 for size in self.kernel_size):
            raise InvalidValueError(
                f"Symmetric padding needs an odd kernel size, not {self.kernel_size}."
            )
        if self.data_format != "channels_last":
            raise InvalidValueError("Only data_format='channels_last' is supported.")
        if not self._is_native_padding:
            raise InvalidValueError(
                f"The padding is 0: pad_values={self.pad_values} has no effect."
            )

    def build(self, input_shape: tf.TensorShape) -> None:
        super().build(input_shape)
        quantizer = self.kernel_quantizer
        if isinstance(quantizer, tf.keras.layers.Layer) and not quantizer.built:
            # Create a quantizer's own weights (SD-BNN's alpha) here, not later during tracing.
            with tf.name_scope(self.name):
                quantizer.build(self.kernel.shape)

    def needs_tracing(self) -> bool:
        """Return whether the layer has functions that are not this project's, which keep shapes."""
        quantizers = (self.input_quantizer, self.kernel_quantizer)
        return self.activation is not tf.keras.activations.linear or not all(
            each is None or type(each).__module__ == "zoo.quantizers" for each in quantizers
        )

    def convolution_op(self, inputs: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        padding = self.padding.upper()
        if padding == "SAME" and self.strides != (1, 1) and self.kernel_size != (1, 1):
            # TensorFlow's "same" is symmetric only at stride 1. A separate tf.pad trains three
            # times as fast as explicit paddings: oneDNN does not compute the gradients of those.
            top, left = (size // 2 for size in self.kernel_size)
            inputs = tf.pad(inputs, [[0, 0], [top, top], [left, left], [0, 0]])
            padding = "VALID"

        # Not in the first stage: the kernel is real there, and rounding it would change gradients.
        binary = self.input_quantizer is not None and self.kernel_quantizer is not None
        scaled = getattr(self.kernel_quantizer, "scaled", True)

        def compute(x: tf.Tensor, k: tf.Tensor) -> tf.Tensor:
            settings = (self.strides, padding, self.dilation_rate)
            return convolve(x, k, *settings, binary=binary, scaled=scaled)

        if self.groups == 1:
            return compute(inputs, kernel)
        # TensorFlow has no CPU gradient for grouped convolutions.
        parts = zip(
            tf.split(inputs, self.groups, axis=-1),
            tf.split(kernel, self.groups, axis=-1),
            strict=True,
        )
        return tf.concat([compute(x, k) for x, k in parts], axis=-1)

    def _jit_compiled_convolution_op(self, inputs: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        """Replace Keras's method for groups, which compiles by XLA; this is not needed here."""
        return self.convolution_op(inputs, kernel)


def _strided(sizes: Iterable[int | None], strides: int) -> list[int | None]:
    """Return ceil(size / strides) for each size that is known."""
    return [None if size is None else -(-size // strides) for size in sizes]


@register
class SymmetricMaxPool2D(KnownShape, tf.keras.layers.Layer):
    """Max pooling 3x3 with stride 2, padded like PyTorch by one pixel of minus infinity per side.

    Input: (batch, height, width, c). Output: (batch, ceil(height / 2), ceil(width / 2), c).
    """

    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)
        self.input_spec = tf.keras.layers.InputSpec(ndim=4)

    def compute_output_shape(self, input_shape: tf.TensorShape) -> tf.TensorShape:
        batch, height, width, channels = input_shape
        return tf.TensorShape([batch, *_strided((height, width), 2), channels])

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        padding = [[0, 0], [1, 1], [1, 1], [0, 0]]
        return tf.nn.max_pool2d(inputs, 3, 2, padding)


@register
class LearnableShift(KnownShape, tf.keras.layers.Layer):
    """x + b, with one b per channel, learned from 0: the shift of ReActNet's RSign (2003.03488).

    The input quantizer of the next convolution applies the sign.

    Input and output: (..., channels).
    """

    def build(self, input_shape: tf.TensorShape) -> None:
        self.shift = self.add_weight("shift", shape=(input_shape[-1],), initializer="zeros")
        super().build(input_shape)

    def compute_output_shape(self, input_shape: tf.TensorShape) -> tf.TensorShape:
        return input_shape

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return shifted_by(inputs, tf.convert_to_tensor(self.shift))


@register
class RPReLU(KnownShape, tf.keras.layers.Layer):
    """ReActNet's activation (2003.03488, equation 5): PReLU(x + shift_in) + shift_out.

    Args:
        slope: initial slope of the negative half; slopes and shifts are learned per channel.

    Input and output: (..., channels).
    """

    def __init__(self, slope: float = 0.25, **kwargs: Any):
        super().__init__(**kwargs)
        self.initial_slope = slope

    def build(self, input_shape: tf.TensorShape) -> None:
        def per_channel(name: str, value: float) -> tf.Variable:
            initializer = tf.keras.initializers.Constant(value)
            return self.add_weight(name, shape=(input_shape[-1],), initializer=initializer)

        self.shift_in = per_channel("shift_in", 0.0)
        self.slope = per_channel("slope", self.initial_slope)
        self.shift_out = per_channel("shift_out", 0.0)
        super().build(input_shape)

    def compute_output_shape(self, input_shape: tf.TensorShape) -> tf.TensorShape:
        return input_shape

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return rprelu(
            inputs, *map(tf.convert_to_tensor, (self.shift_in, self.slope, self.shift_out))
        )

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "slope": self.initial_slope}


@register
class LeakyClip(KnownShape, tf.keras.layers.Layer):
    """clip(x, -1, 1) with a slope beyond +-1, for Bi-Real Net's pretraining (1808.00278, 3.4).

    Args:
        slope: derivative outside [-1, 1]; 0 is the plain clip.

    Input and output: of any shape.
    """

    def __init__(self, slope: float = 0.1, **kwargs: Any):
        super().__init__(**kwargs)
        self.slope = slope

    def compute_output_shape(self, input_shape: tf.TensorShape) -> tf.TensorShape:
        return input_shape

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return leaky_clip(inputs, self.slope)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "slope": self.slope}


@register
class SubsamplePad(KnownShape, tf.keras.layers.Layer):
    """The shortcut without parameters of CIFAR-10 ResNets (option A of 1512.03385).

    It takes every `strides`-th pixel and adds zero channels on both sides, up to `filters`
    channels. If the number of zero channels is odd, the end gets one more.

    Input: (batch, height, width, c), c <= filters. Output: (batch, ceil(height / strides),
    ceil(width / strides), filters).
    """

    def __init__(self, filters: int, strides: int = 2, **kwargs: Any):
        super().__init__(**kwargs)
        self.filters, self.strides = filters, strides
        self.input_spec = tf.keras.layers.InputSpec(ndim=4)

    def build(self, input_shape: tf.TensorShape) -> None:
        channels = input_shape[-1]
        if channels > self.filters:
            raise InvalidValueError(f"{channels} channels cannot be padded to {self.filters}.")
        super().build(input_shape)

    def compute_output_shape(self, input_shape: tf.TensorShape) -> tf.TensorShape:
        batch, height, width, _ = input_shape
        return tf.TensorShape([batch, *_strided((height, width), self.strides), self.filters])

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        missing = self.filters - inputs.shape[-1]
        sides = [missing // 2, missing - missing // 2]
        # Equals inputs[:, ::strides, ::strides], but its gradient is faster.
        strided = tf.nn.avg_pool2d(inputs, 1, self.strides, "VALID")
        return tf.pad(strided, [[0, 0], [0, 0], [0, 0], sides])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "filters": self.filters, "strides": self.strides}


@register
class LearnedScale(KnownShape, tf.keras.layers.Layer):
    """XNOR-Net++'s learned factor G on the output of a binary convolution (1909.13863, section 3).

    - case1: G = a, one factor per channel;
    - case2: G of the output's full shape (h, w, c);
    - case3: G = a (x) b, b in R^(h x w);
    - case4: G = a (x) b (x) c, b in R^h, c in R^w.

    All factors are learned, from 1; G is `initial` times their product. Inference multiplies by
    `folded()`, which is G as one tensor, so cases 2 to 4 take the same time.

    Input and output: (batch, h, w, c); h and w must be known except in case1.
    """

    CASES = ("case1", "case2", "case3", "case4")

    def __init__(self, case: str = "case4", initial: float = 1.0, **kwargs: Any):
        super().__init__(**kwargs)
        self.initial = initial
        if case not in self.CASES:
            raise InvalidValueError(f"scale must be one of {', '.join(self.CASES)}, not '{case}'.")
        self.case = case
        self.input_spec = tf.keras.layers.InputSpec(ndim=4)

    def build(self, input_shape: tf.TensorShape) -> None:
        height, width, channels = input_shape[1:]
        if self.case != "case1" and None in (height, width):
            raise InvalidValueError(
                f"scale='{self.case}' learns one factor per pixel, so the input's height and width "
                "must be given; scale='case1' works for any size."
            )
        shapes_of_cases: dict[str, dict[str, tuple]] = {
            "case1": {"channel": (channels,)},
            "case2": {"full": (height, width, channels)},
            "case3": {"channel": (channels,), "pixel": (height, width, 1)},
            "case4": {"channel": (channels,), "row": (height, 1, 1), "column": (1, width, 1)},
        }
        self.factors = [
            self.add_weight(name, shape=shape, initializer="ones")
            for name, shape in shapes_of_cases[self.case].items()
        ]
        super().build(input_shape)

    def parts(self) -> list[tf.Tensor]:
        """Return the factors of G, in their shapes."""
        # `initial` is separate from the learned factors: Adam's step does not depend on their
        # magnitude.
        first, *others = self.factors
        return [first * self.initial, *others]

    def folded(self) -> tf.Tensor:
        """Return G, of shape (c,) in case1 and (h, w, c) otherwise."""
        product, *others = self.parts()
        for part in others:
            product = product * part
        return product

    def compute_output_shape(self, input_shape: tf.TensorShape) -> tf.TensorShape:
        return input_shape

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return inputs * self.folded()

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "case": self.case, "initial": self.initial}
