"""Convert a Keras model to one TensorFlow function that the flatbuffer converters understand."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from zoo import layers as ours
from zoo.adapters import larq
from zoo.deploy._known import known_class
from zoo.deploy._signs import binary_kernel, is_sign, quantized_kernel
from zoo.deploy.lce.flatbuffer import input_key, output_key
from zoo.deploy.walk import Call, calls, explicit_sigmoids

keras = tf.keras.layers
OTHERS = ("tf_keras.", "larq", "zoo.")  # modules of layers that users did not write


def inference_module(model: tf.keras.Model, mirrored: bool) -> tf.Module:
    """Return a module; its `infer` is a concrete function of images (1, h, w, c).

    Weights are constants of this function.

    Args:
        mirrored: mirror convolutions if their zero padding then becomes TensorFlow's "same".
    """
    signature = [
        tf.TensorSpec([1, *image.shape[1:]], image.dtype, name=input_key(index))
        for index, image in enumerate(model.inputs)
    ]

    @tf.function(input_signature=signature, autograph=False)
    def infer(*images: tf.Tensor) -> dict[str, tf.Tensor]:
        values = dict(zip((id(image) for image in model.inputs), images, strict=True))
        for call in calls(model):
            if not call.inputs:
                continue
            inputs = [values[key] for key in call.inputs]
            values.update(zip(call.outputs, computed(call, inputs, mirrored), strict=True))
        return {
            # An identity each: a tensor may be an output twice, or also be an input.
            output_key(index): tf.identity(values[id(output)])
            for index, output in enumerate(model.outputs)
        }

    module = tf.Module()
    with explicit_sigmoids(model):
        module.infer = infer.get_concrete_function()
    module.read = list(module.infer.variables)  # by layers without an entry in FORMS
    return module


def is_binary_convolution(layer: Any) -> bool:
    """Return whether input and kernel of a layer are signs, up to a factor per filter."""
    if not isinstance(layer, tf.keras.layers.Conv2D):
        return False
    if not is_sign(getattr(layer, "input_quantizer", None)):
        return False
    kernel = quantized_kernel(layer).numpy()
    return binary_kernel(kernel.transpose(3, 0, 1, 2))[0] is not None


def binary_layers(model: tf.keras.Model) -> list[Any]:
    """Return the layers of all binary convolutions, once for each call."""
    return [
        call.layer for call in calls(model) if call.inputs and is_binary_convolution(call.layer)
    ]


def computed(call: Call, inputs: list[tf.Tensor], mirrored: bool) -> list[tf.Tensor]:
    """Return a call's outputs, in a form for the converter if there is one, else by its layer."""
    with tf.name_scope(scope_of(call.layer.name)):
        cls = known_class(call.layer, FORMS)
        if cls is not None and call.plain:
            return [FORMS[cls](call.layer, tf.convert_to_tensor(inputs[0]), mirrored)]
        return call.compute(inputs)


def layers_by_their_code(model: tf.keras.Model) -> list[str]:
    """Return the names of layers that users wrote: a converter may not support their operations."""
    own = [c.layer for c in calls(model) if c.inputs and known_class(c.layer, FORMS) is None]
    return [each.name for each in own if not type(each).__module__.startswith(OTHERS)]


def scope_of(name: str) -> str:
    """Return a layer's name, changed to be valid in TensorFlow's graphs."""
    return re.sub(r"^[^A-Za-z0-9.]|[^A-Za-z0-9_./-]", "_", name).lstrip("_/-") or "layer"


def _constant(weight: Any) -> Any:
    """Return a weight's current value, so that the graph has no variables."""
    with tf.init_scope():
        return tf.convert_to_tensor(weight).numpy()


def _convolution(layer: Any, x: tf.Tensor, mirrored: bool) -> tf.Tensor:
    with tf.init_scope():
        kernel = quantized_kernel(layer).numpy()
        signed = is_sign(getattr(layer, "input_quantizer", None))
    symmetric = isinstance(layer, ours.SymmetricConv2D) and layer.padding == "same"
    axes = _axes_to_mirror(layer, x.shape[1:3]) if symmetric and mirrored else None
    if axes:
        x = _mirrored(x, axes)
    if signed and mirrored and _too_small(layer, x.shape[1:3]):
        x = 2 * tf.cast(x >= 0, tf.float32) - 1  # the converter does not see a sign here
    elif signed:
        x = tf.sign(tf.sign(x) + 0.1)  # the converter sees a sign here
    elif getattr(layer, "input_quantizer", None) is not None:
        x = layer.input_quantizer(x)
    if not getattr(layer, "_is_native_padding", True):
        # larq pads with nonzero values before quantizing; the converter expects it afterwards.
        value = float(layer.pad_values)
        if signed:
            value = 1.0 if value >= 0 else -1.0
        elif getattr(layer, "input_quantizer", None) is not None:
            with tf.init_scope():
                value = float(layer.input_quantizer(tf.constant(value)))
        x = tf.pad(x, layer._get_padding_same(x), constant_values=value)
        y = tf.nn.conv2d(x, kernel, layer.strides, "VALID", dilations=layer.dilation_rate)
    elif axes is None:
        y = layer.convolution_op(x, kernel)
    else:
        y = _mirrored(_same_convolution(layer, x, _flipped(kernel, axes)), axes)
    if layer.use_bias:
        y = y + _constant(layer.bias)
    return layer.activation(y) if layer.activation else y


def _too_small(layer: Any, size: Any) -> bool:
    """Return whether an image of this size is smaller than the kernel."""
    spans = [(k - 1) * d + 1 for k, d in zip(layer.kernel_size, layer.dilation_rate, strict=True)]
    return layer.padding != "valid" and any(n < span for n, span in zip(size, spans, strict=True))


def _axes_to_mirror(layer: Any, size: Any) -> list[int] | None:
    """Return the axes (1 vertical, 2 horizontal) to mirror for "same"; None if impossible."""
    axes = []
    for axis, (pixels, kernel, stride, dilation) in enumerate(
        zip(size, layer.kernel_size, layer.strides, layer.dilation_rate, strict=True), start=1
    ):
        span = (kernel - 1) * dilation + 1
        before = span // 2
        behind = max((-(-pixels // stride) - 1) * stride + span - pixels - before, 0)
        total = max((-(-pixels // stride) - 1) * stride + span - pixels, 0)
        same = (total // 2, total - total // 2)
        if (behind, before) == same and before != behind:
            axes.append(axis)
        elif (before, behind) != same:
            return None
    return axes


def _mirrored(x: tf.Tensor, axes: list[int]) -> tf.Tensor:
    for axis in axes:  # one at a time: the runtime's operation accepts only one
        x = tf.reverse(x, [axis])
    return x


def _flipped(kernel: np.ndarray, axes: list[int]) -> np.ndarray:
    return np.flip(kernel, [axis - 1 for axis in axes])


def _same_convolution(layer: Any, x: tf.Tensor, kernel: np.ndarray) -> tf.Tensor:
    def convolve(part: tf.Tensor, weights: np.ndarray) -> tf.Tensor:
        return tf.nn.conv2d(part, weights, layer.strides, "SAME", dilations=layer.dilation_rate)

    if layer.groups == 1:  # a split, even into one part, hides the sign
        return convolve(x, kernel)
    parts = zip(
        tf.split(x, layer.groups, axis=-1), np.split(kernel, layer.groups, axis=-1), strict=True
    )
    return tf.concat([convolve(part, weights) for part, weights in parts], axis=-1)


def _batch_norm(layer: Any, x: tf.Tensor, mirrored: bool) -> tf.Tensor:
    if list(layer.axis) != [x.shape.rank - 1]:
        return layer(x, training=False)
    scale = 1 / np.sqrt(_constant(layer.moving_variance).astype(np.float64) + layer.epsilon)
    if layer.scale:
        scale = scale * _constant(layer.gamma)
    shift = -_constant(layer.moving_mean) * scale
    if layer.center:
        shift = shift + _constant(layer.beta)
    return x * scale.astype(np.float32) + shift.astype(np.float32)


def _prelu(x: tf.Tensor, slope: np.ndarray) -> tf.Tensor:
    # The converter recognises this as PReLU if the slope has all axes except the batch axis.
    slope = slope.reshape([1] * (x.shape.rank - 2) + [-1])
    return tf.nn.relu(x) + tf.nn.relu(-x) * -slope


def _rprelu_layer(layer: Any, x: tf.Tensor, mirrored: bool) -> tf.Tensor:
    shift_in, slope, shift_out = map(_constant, (layer.shift_in, layer.slope, layer.shift_out))
    return _prelu(x + shift_in, slope) + shift_out


def _prelu_layer(layer: Any, x: tf.Tensor, mirrored: bool) -> tf.Tensor:
    slope = _constant(layer.alpha)
    return _prelu(x, slope) if slope.size == x.shape[-1] else layer(x)


def _learnable_shift(layer: Any, x: tf.Tensor, mirrored: bool) -> tf.Tensor:
    return x + _constant(layer.shift)


def _learned_scale(layer: Any, x: tf.Tensor, mirrored: bool) -> tf.Tensor:
    # One factor after another, because G itself would be larger than the network. The reshapes in
    # between stop the converter from multiplying the factors, and from fusing factors with more
    # than one number per channel into an LceBconv2d, which the runtime would refuse.
    _, height, width, channels = x.shape
    views = {
        (height, 1, 1): ((height, width * channels), (height, 1)),
        (1, width, 1): ((height, width, channels), (width, 1)),
        (height, width, 1): ((height * width, channels), (height * width, 1)),
        (height, width, channels): ((height * width * channels,), (-1,)),
    }
    with tf.init_scope():
        parts = [part.numpy() for part in layer.parts()]
    for factor in parts:
        if factor.ndim == 1:
            x = x * factor
        else:
            whole, part = views[factor.shape]
            x = tf.reshape(x, whole) * factor.reshape(part)
    return tf.reshape(x, (1, height, width, channels)) if x.shape.rank != 4 else x


def _symmetric_max_pool(layer: Any, x: tf.Tensor, mirrored: bool) -> tf.Tensor:
    lowest = x.dtype.min
    padded = tf.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]], constant_values=lowest)
    return tf.nn.max_pool2d(padded, 3, 2, "VALID")


def _dense(layer: Any, x: tf.Tensor, mirrored: bool) -> tf.Tensor:
    with tf.init_scope():
        kernel = quantized_kernel(layer).numpy()
    if getattr(layer, "input_quantizer", None) is not None:
        x = layer.input_quantizer(x)
    y = tf.reshape(
        tf.matmul(tf.reshape(x, [-1, x.shape[-1]]), kernel), [*x.shape[:-1], layer.units]
    )
    if layer.use_bias:
        y = y + _constant(layer.bias)
    return layer.activation(y) if layer.activation else y


Form = Callable[[Any, tf.Tensor, bool], tf.Tensor]
FORMS: dict[type, Form] = {
    **dict.fromkeys((keras.Conv2D, larq.QuantConv2D, ours.SymmetricConv2D), _convolution),
    **dict.fromkeys((keras.Dense, larq.QuantDense), _dense),
    **dict.fromkeys((keras.BatchNormalization, ours.BatchNorm), _batch_norm),
    keras.PReLU: _prelu_layer,
    ours.LearnableShift: _learnable_shift,
    ours.LearnedScale: _learned_scale,
    ours.RPReLU: _rprelu_layer,
    ours.SymmetricMaxPool2D: _symmetric_max_pool,
}
