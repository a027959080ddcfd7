"""Rules for layers that compute per channel or per element."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from zoo import layers as zoo_layers
from zoo.adapters import larq
from zoo.deploy.c.graph import (
    LARGEST,
    Clip,
    Function,
    Graph,
    PRelu,
    Scale,
    Softmax,
    Value,
)
from zoo.deploy.c.rules import (
    keras,
    numbers,
    rule,
    rule_of,
    unsupported,
)


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
    "sigmoid": "BNN_SIGMOID",
    "tanh": "BNN_TANH",
    "elu": "BNN_ELU",
    "selu": "BNN_SELU",
    "softplus": "BNN_SOFTPLUS",
    "softsign": "BNN_SOFTSIGN",
    "swish": "BNN_SWISH",
    "silu": "BNN_SWISH",
    "gelu": "BNN_GELU",
    "exponential": "BNN_EXPONENTIAL",
}


def _known_activations() -> dict[Any, str]:
    known: dict[Any, str] = {larq.hard_tanh: "hard_tanh"}
    for name in (*CLIPS, *FUNCTIONS, "linear", "softmax"):
        for module in (tf.keras.activations, tf.nn, tf.math):
            if callable(function := getattr(module, name, None)):
                known[function] = name
    return known


ACTIVATIONS = _known_activations()


def activated(graph: Graph, layer: Any, x: Value, activation: Any) -> Value:
    """Return the activation of x.

    The function is compared as an object, because a user's function may have any name.
    """
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
        raise unsupported(layer, "it does not act on the last axis")
    return graph.add(Softmax([x], Value(x.shape), layer.name))
