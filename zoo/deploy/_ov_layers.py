"""How each Keras layer of the zoo continues an OpenVINO graph, by the layer's class name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from openvino import opset15 as ops

from zoo.deploy._ov_values import (
    Convolution,
    Geometry,
    Term,
    Value,
    added,
    concatenated,
    constant,
)
from zoo.deploy._signs import binary_kernel, is_sign, quantized_kernel
from zoo.errors import DeployError

Builder = Callable[[Any, Sequence[Value], bool], Value]
BUILDERS: dict[str, Builder] = {}


def builds(*names: str) -> Callable[[Builder], Builder]:
    """Register a function for layers of these class names."""

    def register(function: Builder) -> Builder:
        BUILDERS.update(dict.fromkeys(names, function))
        return function

    return register


def build(layer: Any, inputs: Sequence[Value], binary: bool) -> Value:
    """The output of `layer`.

    Args:
        binary: False computes binary convolutions in real numbers, for comparison.

    Raises:
        DeployError: there is no way to say this layer in OpenVINO's operations.
    """
    for cls in type(layer).__mro__:
        if cls.__name__ in BUILDERS and cls.__module__.partition(".")[0] in KNOWN:
            return BUILDERS[cls.__name__](layer, inputs, binary)
    raise unsupported(layer, f"its kind, {type(layer).__name__}, is not supported")


POINTWISE = Geometry((1, 1), (0, 0), (0, 0), (1, 1))
KNOWN = ("zoo", "tf_keras", "keras", "larq", "larq_zoo")


def unsupported(layer: Any, reason: str) -> DeployError:
    return DeployError(f"The layer '{layer.name}' cannot be exported to OpenVINO: {reason}.")


def numbers(weight: Any) -> np.ndarray:
    """A weight as float64, so that folding several into one rounds once."""
    return np.asarray(tf.convert_to_tensor(weight), np.float64)


def node_value(node: Any, like: Value | None = None, **changes: Any) -> Value:
    shape = tuple(node.output(0).get_shape()) if like is None else like.shape
    return Value([Term(node.output(0))], shape, **changes)


# --- convolutions and dense layers ----------------------------------------------------------------


@builds("Conv2D", "QuantConv2D")
def convolution(layer: Any, inputs: Sequence[Value], binary: bool) -> Value:
    (x,) = inputs
    if layer.data_format != "channels_last":
        raise unsupported(layer, "only data_format='channels_last' is supported")
    kernel = quantized_kernel(layer)
    kernel = numbers(kernel).transpose(3, 2, 0, 1)
    y = _convolved(layer, x, kernel, _geometry(layer, x.shape), binary)
    return _finished(layer, y)


@builds("Dense", "QuantDense")
def dense(layer: Any, inputs: Sequence[Value], binary: bool) -> Value:
    (x,) = inputs
    pixels = x.shape[2:]
    if any(size != 1 for size in pixels):
        raise unsupported(layer, f"it reads a feature map of {pixels[0]}x{pixels[1]} pixels")
    kernel = numbers(quantized_kernel(layer)).T
    if pixels or getattr(layer, "input_quantizer", None) is not None:
        # As a convolution of one pixel, which has binary kernels and needs no reshaping.
        image = _reshaped(x, (*x.shape[:2], 1, 1))
        y = _convolved(layer, image, kernel[:, :, None, None], POINTWISE, binary)
        return _finished(layer, _reshaped(y, (*y.shape[:2], *pixels)))
    term = x.one_term()
    shift = None if x.shift is None else kernel @ x.shift
    weights = kernel if term.scale is None else kernel * term.scale
    image = Value([Term(term.source)], x.shape).output()
    node = ops.matmul(image, constant(weights), False, True)
    node.set_friendly_name(layer.name)
    return _finished(layer, Value([Term(node.output(0))], (x.shape[0], len(kernel)), shift))


def _convolved(layer: Any, x: Value, kernel: np.ndarray, where: Geometry, binary: bool) -> Value:
    """x or its sign, convolved."""
    batch, _, *pixels = x.shape
    reach = [(size - 1) * step + 1 for size, step in zip(kernel.shape[2:], where.dilations,
                                                         strict=True)]  # fmt: skip
    sizes = zip(pixels, where.pads_begin, where.pads_end, reach, where.strides, strict=True)
    output = [(size + low + high - far) // step + 1 for size, low, high, far, step in sizes]
    shape = (batch, len(kernel), *output)

    if getattr(layer, "input_quantizer", None) is None:
        scale = shift = None
        padded = any((*where.pads_begin, *where.pads_end))
        if x.shift is not None and (padded or where.groups > 1):
            image = x.output()
        else:
            # Without padding, a scale and a shift of the input go through to the output.
            term = x.one_term()
            if term.scale is None or where.groups > 1:
                image = x.settled()
            else:
                image = Value([Term(term.source)], x.shape).output()
                kernel = kernel * term.scale[:, None, None]
            shift = None if x.shift is None else kernel_sum(kernel, x.shift, term.scale)
        source = Convolution(image, kernel, where, False, layer.name)
        return Value([Term(source, scale)], shape, shift)

    if not is_sign(layer.input_quantizer):
        raise unsupported(layer, "its input quantizer is not a sign")
    signs, scale = binary_kernel(kernel)
    binary = binary and signs is not None
    if binary and where.groups > 1:
        raise unsupported(layer, "a binary convolution in groups is not supported")
    if binary and kernel.shape[1] == 3:
        raise unsupported(layer, "OpenVINO has no binary convolution of three channels")
    if where.pad_value:
        if not binary:
            raise unsupported(layer, "real numbers on padding other than 0 are not supported")
        x = Value([Term(x.output())], x.shape)  # turned channels would need padding of -1
    image, turned = x.signs(binary)
    numerals = signs if signs is not None and binary else kernel
    if turned.any():
        numerals = numerals * per_group(np.where(turned, -1, 1), where.groups, len(kernel))
    source = Convolution(image, numerals, where, binary, layer.name)
    return Value([Term(source, None if not binary or (scale == 1).all() else scale)], shape)


def per_group(channels: np.ndarray, groups: int, filters: int) -> np.ndarray:
    """One number per input channel as what multiplies a kernel (out, in / groups, h, w)."""
    parts = channels.reshape(groups, 1, -1, 1, 1)
    return np.broadcast_to(parts, (groups, filters // groups, *parts.shape[2:])).reshape(
        filters, -1, 1, 1
    )


def kernel_sum(kernel: np.ndarray, shift: np.ndarray, scale: np.ndarray | None) -> np.ndarray:
    """What a constant input of `shift` per channel gives; `scale` is already in the kernel."""
    plain = kernel if scale is None else np.divide(
        kernel, scale[:, None, None], out=np.zeros_like(kernel), where=scale[:, None, None] != 0
    )  # fmt: skip
    return plain.sum(axis=(2, 3)) @ shift


def _geometry(layer: Any, shape: Sequence[int]) -> Geometry:
    """Where the kernel goes: PyTorch's padding for the zoo's layer, else TensorFlow's."""
    low, high = [0, 0], [0, 0]
    spans = [(k - 1) * d + 1 for k, d in zip(layer.kernel_size, layer.dilation_rate, strict=True)]
    if layer.padding == "same":
        for axis, (size, span, step) in enumerate(
            zip(shape[2:], spans, layer.strides, strict=True)
        ):
            if type(layer).__name__ == "SymmetricConv2D":
                low[axis] = high[axis] = span // 2
            else:
                low[axis], high[axis] = same_padding(size, span, step)
    elif layer.padding != "valid":
        raise unsupported(layer, f"padding='{layer.padding}' is not supported")
    return Geometry(
        tuple(layer.strides), tuple(low), tuple(high), tuple(layer.dilation_rate),
        int(getattr(layer, "groups", 1)), float(getattr(layer, "pad_values", 0.0)),
    )  # fmt: skip


def same_padding(size: int, span: int, step: int) -> tuple[int, int]:
    """TensorFlow's "same": the pixel over stands behind."""
    total = max((-(-size // step) - 1) * step + span - size, 0)
    return total // 2, total - total // 2


def _finished(layer: Any, y: Value) -> Value:
    """Bias and activation."""
    if layer.use_bias:
        y = y.affine(None, numbers(layer.bias))
    return activated(layer, y, layer.activation)


# --- layers that are numbers per channel ----------------------------------------------------------


@builds("BatchNormalization")
def batch_norm(layer: Any, inputs: Sequence[Value], binary: bool) -> Value:
    (x,) = inputs
    if list(layer.axis) != [len(x.shape) - 1]:
        raise unsupported(layer, "it does not normalise the last axis")
    scale = 1 / np.sqrt(numbers(layer.moving_variance) + layer.epsilon)
    if layer.scale:
        scale = scale * numbers(layer.gamma)
    shift = -numbers(layer.moving_mean) * scale
    return x.affine(scale, shift + numbers(layer.beta) if layer.center else shift)


@builds("LearnableShift")
def learnable_shift(layer: Any, inputs: Sequence[Value], binary: bool) -> Value:
    return inputs[0].affine(None, numbers(layer.shift))


@builds("LearnedScale")
def learned_scale(layer: Any, inputs: Sequence[Value], binary: bool) -> Value:
    (x,) = inputs
    if layer.case == "case1":
        return x.affine(numbers(layer.factors[0]), None)
    # The factors stay apart in the file, where G would be larger than the network; OpenVINO
    # multiplies them once, when it compiles the model.
    factor: Any = None
    for each in layer.factors:
        values = numbers(each)
        values = values.reshape(-1, 1, 1) if values.ndim == 1 else values.transpose(2, 0, 1)
        part = constant(values[None])
        factor = part if factor is None else ops.multiply(factor, part)
    return node_value(ops.multiply(x.output(), factor), x)


@builds("RPReLU")
def rprelu(layer: Any, inputs: Sequence[Value], binary: bool) -> Value:
    x = inputs[0].affine(None, numbers(layer.shift_in))
    node = ops.prelu(x.output(), constant(numbers(layer.slope)))
    return node_value(node, x, shift=numbers(layer.shift_out))


@builds("PReLU")
def prelu(layer: Any, inputs: Sequence[Value], binary: bool) -> Value:
    (x,) = inputs
    slope = numbers(layer.alpha)
    if slope.size != x.channels:
        raise unsupported(layer, "only one slope per channel is supported (shared_axes=(1, 2))")
    return node_value(ops.prelu(x.output(), constant(slope.reshape(-1))), x)


# --- activations ----------------------------------------------------------------------------------

ACTIVATIONS: dict[str, Callable[[Any], Any]] = {
    "relu": ops.relu,
    "relu6": lambda x: ops.clamp(x, 0, 6),
    "sigmoid": ops.sigmoid,
    "tanh": ops.tanh,
    "elu": lambda x: ops.elu(x, 1.0),
    "selu": lambda x: ops.selu(x, constant(np.float32(1.67326324)), constant(np.float32(1.05070098))),
    "softplus": ops.softplus,
    "softsign": ops.softsign,
    "swish": ops.swish,
    "silu": ops.swish,
    "gelu": lambda x: ops.gelu(x, "erf"),
    "exponential": ops.exp,
    "softmax": lambda x: ops.softmax(x, 1),
    "hard_tanh": lambda x: ops.clamp(x, -1, 1),
}


def activated(layer: Any, x: Value, activation: Any) -> Value:
    name = getattr(activation, "__name__", type(activation).__name__)
    if activation is None or name == "linear":
        return x
    if name not in ACTIVATIONS:
        raise unsupported(layer, f"the activation '{name}' is not supported")
    return node_value(ACTIVATIONS[name](x.output()), x)


@builds("Activation")
def activation(layer: Any, inputs: Sequence[Value], binary: bool) -> Value:
    return activated(layer, inputs[0], layer.activation)


@builds("Softmax")
def softmax(layer: Any, inputs: Sequence[Value], binary: bool) -> Value:
    if layer.axis not in (-1, len(inputs[0].shape) - 1):
        raise unsupported(layer, "it is not over the last axis")
    return node_value(ops.softmax(inputs[0].output(), 1), inputs[0])


@builds("ReLU")
def relu(layer: Any, inputs: Sequence[Value], binary: bool) -> Value:
    (x,) = inputs
    if layer.negative_slope or layer.threshold:
        raise unsupported(layer, "only a plain ReLU is supported")
    limit = layer.max_value
    node = ops.relu(x.output()) if limit is None else ops.clamp(x.output(), 0, float(limit))
    return node_value(node, x)


@builds("LeakyClip")
def leaky_clip(layer: Any, inputs: Sequence[Value], binary: bool) -> Value:
    (x,) = inputs
    clipped = ops.clamp(x.output(), -1, 1)
    if layer.slope:
        outside = ops.multiply(x.output(), constant(np.float32(layer.slope)))
        inside = ops.multiply(clipped, constant(np.float32(1 - layer.slope)))
        return node_value(ops.add(inside, outside), x)
    return node_value(clipped, x)


# --- sums and shapes ------------------------------------------------------------------------------


@builds("Add")
def add(layer: Any, inputs: Sequence[Value], binary: bool) -> Value:
    return added(inputs)


@builds("Concatenate")
def concatenate(layer: Any, inputs: Sequence[Value], binary: bool) -> Value:
    if layer.axis not in (-1, len(inputs[0].shape) - 1):
        raise unsupported(layer, "it is not over the channels")
    return concatenated(inputs)


@builds("InputLayer", "Dropout")
def same(layer: Any, inputs: Sequence[Value], binary: bool) -> Value:
    return inputs[0]


@builds("Flatten")
def flatten(layer: Any, inputs: Sequence[Value], binary: bool) -> Value:
    (x,) = inputs
    flat = (x.shape[0], int(np.prod(x.shape[1:])))
    if flat[1] == x.channels:
        return _reshaped(x, flat)
    ordered = ops.transpose(x.output(), ops.constant(np.array([0, 2, 3, 1])))
    return node_value(ops.reshape(ordered, ops.constant(np.array(flat)), False))


def _reshaped(x: Value, shape: Sequence[int]) -> Value:
    """x in another shape with the same channels; what is pending stays so."""
    if tuple(shape) == tuple(x.shape):
        return x
    node = ops.reshape(x.settled(), ops.constant(np.array(shape)), False)
    return Value([Term(node.output(0))], tuple(shape), x.shift)


@builds("Permute")
def permute(layer: Any, inputs: Sequence[Value], binary: bool) -> Value:
    (x,) = inputs
    if len(x.shape) != 4:
        raise unsupported(layer, "only feature maps can be permuted")
    # Keras's axes (batch, h, w, c) in the order of this graph, and back.
    axes = np.array([0, 2, 3, 1])[[0, *layer.dims]][[0, 3, 1, 2]]
    return node_value(ops.transpose(x.output(), ops.constant(axes)))
