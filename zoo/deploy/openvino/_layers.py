"""Functions that append a Keras layer to an OpenVINO graph, by the layer's class."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from openvino import opset15 as ops

from zoo import layers as ours
from zoo.adapters import larq
from zoo.deploy._idle import IDLE
from zoo.deploy._known import known_class, reason
from zoo.deploy.openvino._sums import added, concatenated
from zoo.deploy.openvino._values import Term, Value, constant
from zoo.errors import DeployError

Builder = Callable[[Any, Sequence[Value], bool], Value]
BUILDERS: dict[type, Builder] = {}

keras = tf.keras.layers


def builds(*classes: type) -> Callable[[Builder], Builder]:
    """Register a function for layers that are computed by the code of these classes."""

    def register(function: Builder) -> Builder:
        BUILDERS.update(dict.fromkeys(classes, function))
        return function

    return register


def build(layer: Any, inputs: Sequence[Value], binary: bool, plain: bool = True) -> Value:
    """Return the output of `layer`.

    Args:
        binary: False computes binary convolutions in float32, for comparison.
        plain: whether the layer is called only with its inputs.

    Raises:
        DeployError: the layer's code is unknown, or OpenVINO's operations cannot express it.
    """
    cls = known_class(layer, BUILDERS)
    if cls is None:
        raise unsupported(layer, reason(layer, BUILDERS))
    if not plain:
        raise unsupported(layer, "it is called with extra arguments")
    if getattr(layer, "data_format", "channels_last") != "channels_last":
        raise unsupported(layer, "only data_format='channels_last' is supported")
    return BUILDERS[cls](layer, inputs, binary)


def unsupported(layer: Any, reason: str) -> DeployError:
    return DeployError(f"The layer '{layer.name}' cannot be exported to OpenVINO: {reason}.")


def numbers(weight: Any) -> np.ndarray:
    """Return a weight as float64, so that folding several weights rounds only once."""
    return np.asarray(tf.convert_to_tensor(weight), np.float64)


def node_value(node: Any, like: Value | None = None, **changes: Any) -> Value:
    shape = tuple(node.output(0).get_shape()) if like is None else like.shape
    return Value([Term(node.output(0))], shape, **changes)


# --- layers that compute per channel --------------------------------------------------------------


@builds(keras.BatchNormalization, ours.BatchNorm)
def batch_norm(layer: Any, inputs: Sequence[Value], binary: bool) -> Value:
    (x,) = inputs
    if list(layer.axis) != [len(x.shape) - 1]:
        raise unsupported(layer, "it does not normalise the last axis")
    scale = 1 / np.sqrt(numbers(layer.moving_variance) + layer.epsilon)
    if layer.scale:
        scale = scale * numbers(layer.gamma)
    shift = -numbers(layer.moving_mean) * scale
    return x.affine(scale, shift + numbers(layer.beta) if layer.center else shift)


@builds(ours.LearnableShift)
def learnable_shift(layer: Any, inputs: Sequence[Value], binary: bool) -> Value:
    return inputs[0].affine(None, numbers(layer.shift))


@builds(keras.Rescaling)
def rescaling(layer: Any, inputs: Sequence[Value], binary: bool) -> Value:
    (x,) = inputs
    scale, offset = np.asarray(layer.scale, np.float64), np.asarray(layer.offset, np.float64)
    if any(each.shape not in ((), (1,), (x.channels,)) for each in (scale, offset)):
        raise unsupported(layer, "only one factor, or one per channel, is supported")
    return x.affine(np.resize(scale, x.channels), np.resize(offset, x.channels))


@builds(ours.LearnedScale)
def learned_scale(layer: Any, inputs: Sequence[Value], binary: bool) -> Value:
    (x,) = inputs
    if layer.case == "case1":
        return x.affine(numbers(layer.folded()), None)
    # The factors stay separate in the file, because G would be larger than the network. OpenVINO
    # multiplies them once, when it compiles the model.
    factor: Any = None
    for each in layer.parts():
        values = numbers(each)
        values = values.reshape(-1, 1, 1) if values.ndim == 1 else values.transpose(2, 0, 1)
        part = constant(values[None])
        factor = part if factor is None else ops.multiply(factor, part)
    return node_value(ops.multiply(x.output(), factor), x)


@builds(ours.RPReLU)
def rprelu(layer: Any, inputs: Sequence[Value], binary: bool) -> Value:
    x = inputs[0].affine(None, numbers(layer.shift_in))
    node = ops.prelu(x.output(), constant(numbers(layer.slope)))
    return node_value(node, x, shift=numbers(layer.shift_out))


@builds(keras.PReLU)
def prelu(layer: Any, inputs: Sequence[Value], binary: bool) -> Value:
    (x,) = inputs
    slope = numbers(layer.alpha)
    if slope.size != x.channels:
        raise unsupported(layer, "only one slope per channel is supported (shared_axes=(1, 2))")
    return node_value(ops.prelu(x.output(), constant(slope.reshape(-1))), x)


# --- activations ----------------------------------------------------------------------------------


def sigmoid(x: Any) -> Any:
    """1 / (1 + exp(-x)) in float32, as Keras computes it; OpenVINO's own comes closer to 1.

    SD-BNN's gates add it to values that a clip made -1: where it is exactly 1, the sign is +1.
    """
    one = constant(np.float32(1))
    return ops.divide(one, ops.add(one, ops.exp(ops.negative(x))))


_NAMED: dict[str, Callable[[Any], Any]] = {
    "relu": ops.relu,
    "sigmoid": sigmoid,
    "tanh": ops.tanh,
    "elu": lambda x: ops.elu(x, 1.0),
    "selu": lambda x: ops.selu(
        x, constant(np.float32(1.67326324)), constant(np.float32(1.05070098))
    ),
    "softplus": ops.softplus,
    "softsign": ops.softsign,
    "swish": ops.swish,
    "gelu": lambda x: ops.gelu(x, "erf"),
    "exponential": ops.exp,
    "softmax": lambda x: ops.softmax(x, 1),
}
# By function, not by name: another function may have the same name.
ACTIVATIONS: dict[Any, Callable[[Any], Any]] = {
    tf.keras.activations.get(name): make for name, make in _NAMED.items()
}
ACTIVATIONS |= {getattr(tf.nn, name): make for name, make in _NAMED.items() if hasattr(tf.nn, name)}
ACTIVATIONS |= {
    tf.nn.relu6: lambda x: ops.clamp(x, 0, 6),
    tf.nn.silu: ops.swish,
    tf.exp: ops.exp,
    tf.tanh: ops.tanh,
    tf.sigmoid: sigmoid,
    larq.hard_tanh: lambda x: ops.clamp(x, -1, 1),
}


def activated(layer: Any, x: Value, activation: Any) -> Value:
    if activation is None or activation is tf.keras.activations.linear:
        return x
    name = getattr(activation, "__name__", type(activation).__name__)
    try:
        make = ACTIVATIONS.get(activation)
    except TypeError:  # it is not hashable
        make = None
    if make is None:
        whose = f"is not Keras's own '{name}' and" if name in _NAMED else f"'{name}'"
        raise unsupported(layer, f"the activation {whose} is not supported")
    return node_value(make(x.output()), x)


@builds(keras.Activation)
def activation(layer: Any, inputs: Sequence[Value], binary: bool) -> Value:
    return activated(layer, inputs[0], layer.activation)


@builds(keras.Softmax)
def softmax(layer: Any, inputs: Sequence[Value], binary: bool) -> Value:
    if layer.axis not in (-1, len(inputs[0].shape) - 1):
        raise unsupported(layer, "it does not act on the last axis")
    return node_value(ops.softmax(inputs[0].output(), 1), inputs[0])


@builds(keras.ReLU)
def relu(layer: Any, inputs: Sequence[Value], binary: bool) -> Value:
    (x,) = inputs
    if layer.negative_slope or layer.threshold:
        raise unsupported(layer, "only a plain ReLU is supported")
    limit = layer.max_value
    node = ops.relu(x.output()) if limit is None else ops.clamp(x.output(), 0, float(limit))
    return node_value(node, x)


@builds(ours.LeakyClip)
def leaky_clip(layer: Any, inputs: Sequence[Value], binary: bool) -> Value:
    (x,) = inputs
    clipped = ops.clamp(x.output(), -1, 1)
    if layer.slope:
        outside = ops.multiply(x.output(), constant(np.float32(layer.slope)))
        inside = ops.multiply(clipped, constant(np.float32(1 - layer.slope)))
        return node_value(ops.add(inside, outside), x)
    return node_value(clipped, x)


# --- sums and shapes ------------------------------------------------------------------------------


@builds(keras.Add)
def add(layer: Any, inputs: Sequence[Value], binary: bool) -> Value:
    return added(inputs)


@builds(keras.Multiply)
def multiply(layer: Any, inputs: Sequence[Value], binary: bool) -> Value:
    first, *others = sorted(inputs, key=lambda x: -int(np.prod(x.shape)))
    if any(len(each.shape) != len(first.shape) for each in others):
        raise unsupported(layer, "only factors of as many dimensions are supported")
    node = first.output()
    for each in others:
        node = ops.multiply(node, each.output())
    return node_value(node, first)


@builds(keras.Lambda)
def identity(layer: Any, inputs: Sequence[Value], binary: bool) -> Value:
    # larq-zoo uses such layers to name points in the graph.
    if layer.function(layer.input, **(layer.arguments or {})) is not layer.input:
        raise unsupported(layer, "a Lambda layer is only supported if it returns its input")
    return inputs[0]


@builds(keras.Concatenate)
def concatenate(layer: Any, inputs: Sequence[Value], binary: bool) -> Value:
    if layer.axis not in (-1, len(inputs[0].shape) - 1):
        raise unsupported(layer, "it does not act on the channels")
    return concatenated(inputs)


@builds(*IDLE)
def same(layer: Any, inputs: Sequence[Value], binary: bool) -> Value:
    return inputs[0]


@builds(keras.Flatten)
def flatten(layer: Any, inputs: Sequence[Value], binary: bool) -> Value:
    (x,) = inputs
    flat = (x.shape[0], int(np.prod(x.shape[1:])))
    if flat[1] == x.channels:
        return reshaped(x, flat)
    ordered = ops.transpose(x.output(), ops.constant(np.array([0, 2, 3, 1])))
    return node_value(ops.reshape(ordered, ops.constant(np.array(flat)), False))


@builds(keras.Reshape)
def reshape(layer: Any, inputs: Sequence[Value], binary: bool) -> Value:
    (x,) = inputs
    shape = (x.shape[0], *layer.output_shape[1:])
    if len(shape) not in (2, 4):
        raise unsupported(layer, "only images and vectors are supported")
    node = x.output()
    if len(x.shape) == 4:
        node = ops.transpose(node, ops.constant(np.array([0, 2, 3, 1])))
    node = ops.reshape(node, ops.constant(np.array(shape)), False)
    if len(shape) == 4:
        node = ops.transpose(node, ops.constant(np.array([0, 3, 1, 2])))
    return Value([Term(node.output(0))], tuple(node.output(0).get_shape()))


def reshaped(x: Value, shape: Sequence[int]) -> Value:
    """Return x in another shape with the same channels; pending affine parts stay pending."""
    if tuple(shape) == tuple(x.shape):
        return x
    if x.shape[2:] == (1, 1) and len(shape) == 2:
        # Not reshape: OpenVINO would reorder the memory of the tensor, even for a single pixel.
        node = ops.reduce_max(x.settled(), ops.constant(np.array([2, 3])), False)
    else:
        node = ops.reshape(x.settled(), ops.constant(np.array(shape)), False)
    return Value([Term(node.output(0))], tuple(shape), x.shift)


@builds(keras.Permute)
def permute(layer: Any, inputs: Sequence[Value], binary: bool) -> Value:
    (x,) = inputs
    if len(x.shape) != 4:
        raise unsupported(layer, "only feature maps can be permuted")
    # Convert between Keras's axes (batch, h, w, c) and the order of this graph.
    axes = np.array([0, 2, 3, 1])[[0, *layer.dims]][[0, 3, 1, 2]]
    return node_value(ops.transpose(x.output(), ops.constant(axes)))
