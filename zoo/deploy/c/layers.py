"""How each Keras layer continues the graph. A layer is known by its class, not by its name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import larq as lq
import numpy as np
import tensorflow as tf

from zoo import layers as zoo_layers
from zoo.deploy._signs import binary_kernel, is_sign, quantized_kernel
from zoo.deploy.c.graph import (
    LARGEST,
    Clip,
    Combine,
    Concat,
    Function,
    Geometry,
    Graph,
    Kind,
    PRelu,
    Reorder,
    Scale,
    Shape,
    Softmax,
    Value,
    Window,
)
from zoo.deploy.walk import calls
from zoo.errors import DeployError

keras = tf.keras.layers
Rule = Callable[[Graph, Any, Sequence[Value]], Value]
RULES: dict[type, Rule] = {}
# The class of the layer that Keras makes of `x + y`.
OPERATOR: type = type((tf.keras.Input((1,)) + tf.keras.Input((1,))).node.layer)
# What a subclass may define without computing anything else.
HARMLESS = {
    "__init__", "__doc__", "__module__", "__qualname__", "__annotations__", "__dict__",
    "__weakref__", "__orig_bases__", "__parameters__", "__abstractmethods__", "_abc_impl",
    "__firstlineno__", "__static_attributes__", "get_config", "from_config",
}  # fmt: skip


def unsupported(layer: Any, reason: str) -> DeployError:
    return DeployError(f"The layer '{layer.name}' cannot be exported to C: {reason}.")


def rule(*classes: type) -> Callable[[Rule], Rule]:
    """Register a function for layers of these classes."""

    def register(function: Rule) -> Rule:
        RULES.update(dict.fromkeys(classes, function))
        return function

    return register


def rule_of(layer: Any) -> Rule:
    """The rule of a layer's class, or of a base from which it changes nothing that computes.

    Raises:
        DeployError: the class is not known, or overrides something.
    """
    for cls in type(layer).__mro__:
        if cls in RULES:
            if "call" in vars(layer) and cls is not OPERATOR:  # which Keras gives one of its own
                raise unsupported(layer, "its method 'call' was replaced")
            return RULES[cls]
        if changed := sorted(set(vars(cls)) - HARMLESS):
            if any(base in RULES for base in cls.__mro__):
                raise unsupported(
                    layer, f"its class {type(layer).__name__} overrides '{changed[0]}'"
                )
            break
    raise unsupported(layer, f"its kind, {type(layer).__name__}, is not supported")


def build_graph(model: tf.keras.Model) -> tuple[Graph, Value]:
    """The graph of a functional model with one input and one output, and its output.

    Raises:
        DeployError: a layer, or how the layers hang together, cannot be said in C.
    """
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise DeployError(
            f"A model with one input and one output is exported to C, not with "
            f"{len(model.inputs)} and {len(model.outputs)}."
        )
    graph = Graph(as_image(model.inputs[0].shape))
    values = {id(model.inputs[0]): graph.image}
    for call in calls(model):
        if not call.inputs:
            if call.outputs[0] not in values:
                raise DeployError(f"'{call.layer.name}' is no input of the model.")
            continue
        if len(call.outputs) != 1 or any(key not in values for key in call.inputs):
            raise unsupported(call.layer, "it has several outputs")
        if any(getattr(call.layer, "dtype", None) == kind for kind in ("float16", "bfloat16")):
            raise unsupported(call.layer, f"its weights are of {call.layer.dtype}")
        inputs = [values[key] for key in call.inputs]
        values[call.outputs[0]] = rule_of(call.layer)(graph, call.layer, inputs)
    return graph, graph.loaded(values[id(model.outputs[0])])


def as_image(shape: Any) -> Shape:
    """A Keras shape (batch, h, w, c) or (batch, c) as (h, w, c)."""
    sizes = tuple(int(size) for size in shape[1:])
    if len(sizes) not in (1, 3):
        raise DeployError(f"Images or vectors are exported, not inputs of shape {tuple(shape)}.")
    return sizes if len(sizes) == 3 else (1, 1, sizes[0])  # type: ignore[return-value]


def numbers(weight: Any) -> np.ndarray:
    """A weight as float64, so that folding several into one rounds once."""
    return np.asarray(tf.convert_to_tensor(weight), np.float64)


def same_padding(size: int, span: int, step: int) -> int:
    """Pixels before the first in TensorFlow's "same"; the one over stands behind."""
    return max((-(-size // step) - 1) * step + span - size, 0) // 2


# --- convolutions ---------------------------------------------------------------------------------


def _geometry(layer: Any, x: Value, kernel: Sequence[int], dilations: Sequence[int]) -> Geometry:
    spans = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    if layer.padding == "same" and isinstance(layer, zoo_layers.SymmetricConv2D):
        pads = [span // 2 for span in spans]
    elif layer.padding == "same":
        pads = [same_padding(*each) for each in zip(x.shape, spans, layer.strides, strict=False)]
    elif layer.padding == "valid":
        pads = [0, 0]
    else:
        raise unsupported(layer, f"padding='{layer.padding}' is not supported")
    return Geometry(_two(kernel), _two(layer.strides), _two(pads), _two(dilations))


def _two(numbers: Sequence[int]) -> tuple[int, int]:
    first, second = numbers
    return int(first), int(second)


def _require_channels_last(layer: Any) -> None:
    if layer.data_format != "channels_last":
        raise unsupported(layer, "only data_format='channels_last' is supported")


@rule(keras.Conv2D, lq.layers.QuantConv2D, zoo_layers.SymmetricConv2D)
def convolution(graph: Graph, layer: Any, inputs: Sequence[Value]) -> Value:
    (x,) = inputs
    _require_channels_last(layer)
    where = _geometry(layer, x, layer.kernel_size, layer.dilation_rate)
    shape = as_image(layer.compute_output_shape((1, *x.shape)))
    pad_value = float(getattr(layer, "pad_values", 0.0))
    kernel = numbers(quantized_kernel(layer))
    return _convolved(graph, layer, x, kernel, where, shape, int(layer.groups), pad_value)


@rule(keras.Dense, lq.layers.QuantDense)
def dense(graph: Graph, layer: Any, inputs: Sequence[Value]) -> Value:
    (x,) = inputs
    kernel = numbers(quantized_kernel(layer))[None, None]
    shape = (x.shape[0], x.shape[1], kernel.shape[-1])
    return _convolved(graph, layer, x, kernel, Geometry(), shape, 1, 0.0)


def _convolved(
    graph: Graph, layer: Any, x: Value, kernel: np.ndarray, where: Geometry, shape: Shape,
    groups: int, pad_value: float,
) -> Value:  # fmt: skip
    quantizer = getattr(layer, "input_quantizer", None)
    output, scale = Value(shape), None
    if quantizer is not None and not is_sign(quantizer):
        raise unsupported(layer, "its input quantizer is not a sign")
    signs, sizes = binary_kernel(kernel.transpose(3, 0, 1, 2))
    if quantizer is not None and signs is not None:
        if groups > 1:
            raise unsupported(layer, "a binary convolution in groups is not supported")
        fill = 0 if getattr(layer, "_is_native_padding", True) else 1 if pad_value >= 0 else -1
        bits = graph.signs(x)
        bits.narrow &= where.dilations[1] == 1  # neighbours share a word
        weights = signs.transpose(1, 2, 3, 0)
        graph.add(Window([], output, layer.name, Kind.BINARY, where, weights, 1, fill, 0, bits))
        scale = None if (sizes == 1).all() else sizes
    else:
        if not getattr(layer, "_is_native_padding", True) and pad_value:
            raise unsupported(layer, "real numbers on padding other than 0 are not supported")
        if quantizer is not None:
            x = graph.add(Function([x], Value(x.shape), layer.name, "BNN_SIGN_OF"))
        if groups > 1 and shape[2] // groups % 16:
            kernel, groups = _ungrouped(kernel, groups), 1
        graph.add(Window([x], output, layer.name, Kind.REAL, where, kernel, groups))
    shift = numbers(layer.bias) if layer.use_bias else None
    if scale is not None or shift is not None:
        output = graph.affine(output, scale, shift, layer.name)
    return activated(graph, layer, output, layer.activation)


def _ungrouped(kernel: np.ndarray, groups: int) -> np.ndarray:
    """A kernel of groups as one with zeros between them."""
    height, width, channels, filters = kernel.shape
    whole = np.zeros((height, width, channels * groups, filters))
    for group in range(groups):
        rows = slice(group * channels, (group + 1) * channels)
        columns = slice(group * filters // groups, (group + 1) * filters // groups)
        whole[:, :, rows, columns] = kernel[..., columns]
    return whole


@rule(keras.DepthwiseConv2D, lq.layers.QuantDepthwiseConv2D)
def depthwise(graph: Graph, layer: Any, inputs: Sequence[Value]) -> Value:
    (x,) = inputs
    _require_channels_last(layer)
    if layer.depth_multiplier != 1:
        raise unsupported(layer, "only depth_multiplier=1 is supported")
    if getattr(layer, "input_quantizer", None) is not None:
        raise unsupported(layer, "a depthwise convolution of signs is not supported")
    if not getattr(layer, "_is_native_padding", True):
        raise unsupported(layer, "real numbers on padding other than 0 are not supported")
    kernel = tf.convert_to_tensor(layer.depthwise_kernel)
    if getattr(layer, "depthwise_quantizer", None) is not None:
        kernel = layer.depthwise_quantizer(kernel)
    where = _geometry(layer, x, layer.kernel_size, layer.dilation_rate)
    output = Value(as_image(layer.compute_output_shape((1, *x.shape))))
    graph.add(Window([x], output, layer.name, Kind.DEPTHWISE, where, numbers(kernel)[..., 0]))
    if layer.use_bias:
        output = graph.affine(output, None, numbers(layer.bias), layer.name)
    return activated(graph, layer, output, layer.activation)


# --- numbers per channel, activations -------------------------------------------------------------


@rule(keras.BatchNormalization, zoo_layers.BatchNorm)
def batch_norm(graph: Graph, layer: Any, inputs: Sequence[Value]) -> Value:
    (x,) = inputs
    if list(layer.axis) != [layer.input_spec.ndim - 1]:
        raise unsupported(layer, "it does not normalise the last axis")
    scale = 1 / np.sqrt(numbers(layer.moving_variance) + layer.epsilon)
    if layer.scale:
        scale = scale * numbers(layer.gamma)
    shift = -numbers(layer.moving_mean) * scale
    return graph.affine(x, scale, shift + numbers(layer.beta) if layer.center else shift)


@rule(zoo_layers.LearnableShift)
def learnable_shift(graph: Graph, layer: Any, inputs: Sequence[Value]) -> Value:
    return graph.affine(inputs[0], None, numbers(layer.shift))


@rule(zoo_layers.LearnedScale)
def learned_scale(graph: Graph, layer: Any, inputs: Sequence[Value]) -> Value:
    (x,) = inputs
    first, *others = map(numbers, layer.parts())
    if layer.case == "case2":
        return graph.add(Scale([x], Value(x.shape), layer.name, full=first))
    x = graph.affine(x, first, None)
    if layer.case == "case3":
        x = graph.add(Scale([x], Value(x.shape), layer.name, pixel=others[0][..., 0]))
    elif layer.case == "case4":
        row, column = (factor.reshape(-1) for factor in others)
        x = graph.add(Scale([x], Value(x.shape), layer.name, row=row, column=column))
    return x


@rule(keras.Rescaling)
def rescaling(graph: Graph, layer: Any, inputs: Sequence[Value]) -> Value:
    (x,) = inputs
    scale, offset = (
        np.broadcast_to(np.asarray(number, np.float64), (x.channels,))
        for number in (layer.scale, layer.offset)
    )
    return graph.affine(x, scale, offset)


@rule(zoo_layers.RPReLU)
def rprelu(graph: Graph, layer: Any, inputs: Sequence[Value]) -> Value:
    x = graph.affine(inputs[0], None, numbers(layer.shift_in))
    x = graph.add(PRelu([x], Value(x.shape), layer.name, numbers(layer.slope)))
    return graph.affine(x, None, numbers(layer.shift_out))


@rule(keras.PReLU)
def prelu(graph: Graph, layer: Any, inputs: Sequence[Value]) -> Value:
    (x,) = inputs
    slope = numbers(layer.alpha)
    if slope.size != x.channels:
        raise unsupported(layer, "only one slope per channel is supported (shared_axes=(1, 2))")
    return graph.add(PRelu([x], Value(x.shape), layer.name, slope.reshape(-1)))


@rule(keras.LeakyReLU)
def leaky_relu(graph: Graph, layer: Any, inputs: Sequence[Value]) -> Value:
    (x,) = inputs
    slope = np.full(x.channels, float(layer.alpha))
    return graph.add(PRelu([x], Value(x.shape), layer.name, slope))


@rule(keras.ReLU)
def relu(graph: Graph, layer: Any, inputs: Sequence[Value]) -> Value:
    (x,) = inputs
    if layer.negative_slope or layer.threshold:
        raise unsupported(layer, "only a plain ReLU is supported")
    high = LARGEST if layer.max_value is None else float(layer.max_value)
    return graph.add(Clip([x], Value(x.shape), layer.name, 0.0, high))


@rule(zoo_layers.LeakyClip)
def leaky_clip(graph: Graph, layer: Any, inputs: Sequence[Value]) -> Value:
    (x,) = inputs
    return graph.add(Clip([x], Value(x.shape), layer.name, -1.0, 1.0, float(layer.slope)))


CLIPS: dict[str, tuple[float, float]] = {
    "relu": (0.0, LARGEST),
    "relu6": (0.0, 6.0),
    "hard_tanh": (-1.0, 1.0),
}
FUNCTIONS = {
    "sigmoid": "BNN_SIGMOID", "tanh": "BNN_TANH", "elu": "BNN_ELU", "selu": "BNN_SELU",
    "softplus": "BNN_SOFTPLUS", "softsign": "BNN_SOFTSIGN", "swish": "BNN_SWISH",
    "silu": "BNN_SWISH", "gelu": "BNN_GELU", "exponential": "BNN_EXPONENTIAL",
}  # fmt: skip


def _known_activations() -> dict[Any, str]:
    known: dict[Any, str] = {lq.activations.hard_tanh: "hard_tanh"}
    for name in (*CLIPS, *FUNCTIONS, "linear", "softmax"):
        for module in (tf.keras.activations, tf.nn, tf.math):
            if callable(function := getattr(module, name, None)):
                known[function] = name
    return known


ACTIVATIONS = _known_activations()


def activated(graph: Graph, layer: Any, x: Value, activation: Any) -> Value:
    """x through an activation, known as an object: a user's own function may have any name."""
    if activation is None:
        return x
    if isinstance(activation, tf.keras.layers.Layer):
        return rule_of(activation)(graph, activation, [x])
    name = ACTIVATIONS.get(activation) if callable(activation) else None
    if name is None:
        shown = getattr(activation, "__name__", type(activation).__name__)
        raise unsupported(layer, f"the activation '{shown}' is not supported")
    if name == "linear":
        return x
    output = Value(x.shape)
    if name == "softmax":
        return graph.add(Softmax([x], output, layer.name))
    if name in CLIPS:
        return graph.add(Clip([x], output, layer.name, *CLIPS[name]))
    return graph.add(Function([x], output, layer.name, FUNCTIONS[name]))


@rule(keras.Activation)
def activation(graph: Graph, layer: Any, inputs: Sequence[Value]) -> Value:
    return activated(graph, layer, inputs[0], layer.activation)


@rule(keras.Softmax)
def softmax(graph: Graph, layer: Any, inputs: Sequence[Value]) -> Value:
    (x,) = inputs
    if layer.axis not in (-1, 3) and not (layer.axis == 1 and x.pixels == 1):
        raise unsupported(layer, "it is not over the last axis")
    return graph.add(Softmax([x], Value(x.shape), layer.name))


# --- sums, shapes, pooling ------------------------------------------------------------------------


def combined(graph: Graph, layer: Any, inputs: Sequence[Value], multiply: bool) -> Value:
    """The sum or product; smaller ones are stretched over pixels, as a gate is."""
    first, *others = sorted(inputs, key=lambda x: -x.pixels)
    for other in others:
        if other.channels != first.channels or other.pixels not in (1, first.pixels):
            raise unsupported(layer, f"shapes {other.shape} and {first.shape} do not go together")
        first = graph.add(Combine([first, other], Value(first.shape), layer.name, multiply))
    return first


@rule(keras.Add)
def add(graph: Graph, layer: Any, inputs: Sequence[Value]) -> Value:
    return combined(graph, layer, inputs, multiply=False)


@rule(keras.Multiply)
def multiply(graph: Graph, layer: Any, inputs: Sequence[Value]) -> Value:
    return combined(graph, layer, inputs, multiply=True)


@rule(OPERATOR)
def operator(graph: Graph, layer: Any, inputs: Sequence[Value]) -> Value:
    if layer.symbol != "__operators__.add" or len(inputs) != 2:
        raise unsupported(layer, f"of TensorFlow's functions only x + y is, not {layer.symbol}")
    return combined(graph, layer, inputs, multiply=False)


@rule(keras.Lambda)
def identity(graph: Graph, layer: Any, inputs: Sequence[Value]) -> Value:
    # larq-zoo gives places in the graph names by such layers.
    if layer.function(layer.input, **(layer.arguments or {})) is not layer.input:
        raise unsupported(layer, "of Lambda layers only those that give their input are supported")
    return inputs[0]


@rule(
    keras.InputLayer, keras.Dropout, keras.SpatialDropout2D, keras.GaussianNoise,
    keras.GaussianDropout, keras.AlphaDropout, keras.ActivityRegularization,
)  # fmt: skip
def unchanged(graph: Graph, layer: Any, inputs: Sequence[Value]) -> Value:
    return inputs[0]


@rule(keras.Concatenate)
def concatenate(graph: Graph, layer: Any, inputs: Sequence[Value]) -> Value:
    if layer.axis not in (-1, 3) and not (layer.axis == 1 and inputs[0].pixels == 1):
        raise unsupported(layer, "it is not over the channels")
    height, width, _ = inputs[0].shape
    output = Value((height, width, sum(value.channels for value in inputs)))
    return graph.add(Concat(list(inputs), output, layer.name))


@rule(keras.Flatten, keras.Reshape)
def reshape(graph: Graph, layer: Any, inputs: Sequence[Value]) -> Value:
    (x,) = inputs
    shape = as_image(layer.compute_output_shape((1, *x.shape)))
    return x if shape == x.shape else graph.add(Reorder([x], Value(shape), layer.name))


@rule(keras.Permute)
def permute(graph: Graph, layer: Any, inputs: Sequence[Value]) -> Value:
    (x,) = inputs
    if len(layer.dims) != 3:
        raise unsupported(layer, "only feature maps can be permuted")
    first, second, third = (dimension - 1 for dimension in layer.dims)
    axes = (first, second, third)
    return graph.add(
        Reorder([x], Value((x.shape[first], x.shape[second], x.shape[third])), layer.name, axes)
    )


def _pooled(
    graph: Graph, layer: Any, x: Value, kind: Kind, where: Geometry, size: Sequence[int]
) -> Value:
    return graph.add(Window([x], Value((size[0], size[1], x.channels)), layer.name, kind, where))


@rule(zoo_layers.SymmetricMaxPool2D)
def symmetric_max_pool(graph: Graph, layer: Any, inputs: Sequence[Value]) -> Value:
    height, width, _ = inputs[0].shape
    where = Geometry((3, 3), (2, 2), (1, 1))
    return _pooled(graph, layer, inputs[0], Kind.MAXIMUM, where, (-(-height // 2), -(-width // 2)))


@rule(keras.MaxPooling2D, keras.AveragePooling2D)
def pool(graph: Graph, layer: Any, inputs: Sequence[Value]) -> Value:
    (x,) = inputs
    _require_channels_last(layer)
    kind = Kind.MAXIMUM if isinstance(layer, keras.MaxPooling2D) else Kind.MEAN
    where = _geometry(layer, x, layer.pool_size, (1, 1))
    return _pooled(graph, layer, x, kind, where, layer.compute_output_shape((1, *x.shape))[1:3])


@rule(keras.GlobalAveragePooling2D, keras.GlobalMaxPooling2D)
def global_pool(graph: Graph, layer: Any, inputs: Sequence[Value]) -> Value:
    (x,) = inputs
    _require_channels_last(layer)
    kind = Kind.MAXIMUM if isinstance(layer, keras.GlobalMaxPooling2D) else Kind.MEAN
    return _pooled(graph, layer, x, kind, Geometry(x.shape[:2]), (1, 1))


@rule(keras.ZeroPadding2D)
def zero_padding(graph: Graph, layer: Any, inputs: Sequence[Value]) -> Value:
    (x,) = inputs
    _require_channels_last(layer)
    (top, bottom), (left, right) = layer.padding
    size = (x.shape[0] + top + bottom, x.shape[1] + left + right)
    return _pooled(graph, layer, x, Kind.LOAD, Geometry(pads=(top, left)), size)


@rule(zoo_layers.SubsamplePad)
def subsample_pad(graph: Graph, layer: Any, inputs: Sequence[Value]) -> Value:
    (x,) = inputs
    step = layer.strides
    size = (-(-x.shape[0] // step), -(-x.shape[1] // step))
    channel = (layer.filters - x.channels) // 2
    node = Window([x], Value((*size, layer.filters)), layer.name, Kind.LOAD,
                  Geometry(strides=(step, step)), channel=channel)  # fmt: skip
    return graph.add(node)
