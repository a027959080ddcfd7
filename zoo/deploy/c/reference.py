"""Compute a graph with NumPy, before it becomes C.

The export compares the result with Keras. This checks the rules without a compiler.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from zoo.deploy._check import check_export, random_inputs
from zoo.deploy._signs import takes_signs
from zoo.deploy.c.graph import (
    Affine,
    Clip,
    Combine,
    Concat,
    Function,
    Graph,
    Kind,
    Node,
    PRelu,
    Reorder,
    Scale,
    Softmax,
    Value,
    Window,
)
from zoo.deploy.c.rules import as_image, rule_of
from zoo.deploy.walk import Call

FUNCTIONS = {
    "BNN_SIGN_OF": lambda x: tf.where(x >= 0, 1.0, -1.0),
    "BNN_SIGMOID": tf.sigmoid,
    "BNN_TANH": tf.tanh,
    "BNN_ELU": tf.nn.elu,
    "BNN_SELU": tf.nn.selu,
    "BNN_SOFTPLUS": tf.nn.softplus,
    "BNN_SOFTSIGN": tf.nn.softsign,
    "BNN_SWISH": tf.nn.silu,
    "BNN_GELU": tf.nn.gelu,
    "BNN_EXPONENTIAL": tf.exp,
}


def check_graph(model: tf.keras.Model, graph: Graph, output: Value) -> float:
    """Return how much a graph differs from its model on a random image (relative L2).

    Raises:
        DeployError: the graph computes something else.
    """

    def alone(call: Call, inputs: list[np.ndarray]) -> list[np.ndarray]:
        values = [Value(as_image(each.shape)) for each in inputs]
        own = Graph((1, 1, 1))
        result = own.loaded(rule_of(call.layer)(own, call.layer, values))
        found = computed(own, dict(zip(values, inputs, strict=True)), result)
        # By Keras's output: operators, such as `x + y`, cannot tell their output's shape alone.
        shape = tuple(call.compute(inputs)[0].shape)
        return [found.reshape(shape) if found.size == math.prod(shape) else found]

    images = random_inputs(model)
    found = computed(graph, {graph.image: images[0]}, output).reshape((1, *model.output_shape[1:]))
    return check_export(model, images, [found], alone, takes_signs(model))


def computed(graph: Graph, given: dict[Value, np.ndarray], output: Value) -> np.ndarray:
    """Compute the value `output` of a graph, (h, w, c), from given values for one image."""
    known = {
        value: np.asarray(each, np.float32).reshape(value.shape) for value, each in given.items()
    }
    for node in graph.nodes:
        known[node.output] = np.asarray(_compute(node, known), np.float32).reshape(
            node.output.shape
        )
    return known[output]


def _compute(node: Node, known: dict[Value, np.ndarray]) -> Any:
    if isinstance(node, Window) and node.signs:
        signs = node.signs
        turned = (known[signs.root] >= signs.threshold) ^ signs.flip
        return _window(node, np.where(turned, 1, -1).astype(np.float32))
    x, *others = (known[value] for value in node.inputs)
    match node:
        case Window():
            return _window(node, x)
        case Affine():
            x = x if node.scale is None else x * node.scale
            return x if node.shift is None else x + node.shift
        case Scale():
            for factor, axes in (
                (node.full, ()),
                (node.pixel, (2,)),
                (node.row, (1, 2)),
                (node.column, (0, 2)),
            ):
                x = x if factor is None else x * np.expand_dims(factor, axes)
            return x
        case PRelu():
            return np.where(x < 0, x * node.slope, x)
        case Clip():
            inside = np.clip(x, node.low, node.high)
            return inside + node.slope * (x - inside)
        case Function():
            return FUNCTIONS[node.function](tf.constant(x)).numpy()
        case Combine():
            return x * others[0] if node.multiply else x + others[0]
        case Concat():
            return np.concatenate([x, *others], axis=-1)
        case Reorder():
            return x if node.axes is None else x.transpose(node.axes)
        case Softmax():
            return tf.nn.softmax(x).numpy()
    raise AssertionError(f"A node of a kind without a rule here: {node}.")


def _window(node: Window, x: np.ndarray) -> np.ndarray:
    """Compute a convolution, pooling or copy, one pixel of the kernel after another."""
    weights = None if node.weights is None else node.weights.astype(np.float32)
    output = np.zeros(node.output.shape, np.float32)
    match node.kind:
        case Kind.BINARY | Kind.REAL:
            assert weights is not None
            width = output.shape[2] // node.groups
            for tap, (i, j) in _taps(node, x, node.fill):
                for g, part in enumerate(np.split(tap, node.groups, axis=-1)):
                    columns = slice(g * width, (g + 1) * width)
                    output[..., columns] += part @ weights[i, j][:, columns]
        case Kind.DEPTHWISE:
            assert weights is not None
            for tap, (i, j) in _taps(node, x, 0):
                output += tap * weights[i, j]
        case Kind.MAXIMUM:
            output -= np.inf
            for tap, _ in _taps(node, x, -np.inf):
                np.maximum(output, tap, out=output)
        case Kind.MEAN:
            counts = np.zeros_like(output)
            for (tap, _), (inside, _) in zip(
                _taps(node, x, 0), _taps(node, np.ones_like(x), 0), strict=True
            ):
                output += tap
                counts += inside
            output /= counts
        case Kind.LOAD:
            for tap, _ in _taps(node, x, 0):
                output[..., node.channel : node.channel + x.shape[2]] = tap
    return output


def _taps(node: Window, x: np.ndarray, fill: float) -> Iterator[tuple[np.ndarray, tuple[int, int]]]:
    """Yield, for each pixel of the kernel, the input at each output position, (h, w, c)."""
    where = node.geometry
    last, pads = [], []  # by axis: start of the last window; padding before, behind
    for axis in range(2):
        last.append((node.output.shape[axis] - 1) * where.strides[axis])
        reach = last[axis] + (where.kernel[axis] - 1) * where.dilations[axis] + 1
        before = where.pads[axis]
        pads.append((before, max(0, reach - before - x.shape[axis])))
    padded = np.pad(x, [*pads, (0, 0)], constant_values=fill)
    for i in range(where.kernel[0]):
        for j in range(where.kernel[1]):
            top, left = i * where.dilations[0], j * where.dilations[1]
            rows = slice(top, top + last[0] + 1, where.strides[0])
            columns = slice(left, left + last[1] + 1, where.strides[1])
            yield padded[rows, columns], (i, j)
