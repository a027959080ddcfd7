"""Rules for sums, shapes and poolings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from zoo import layers as zoo_layers
from zoo.deploy._idle import IDLE
from zoo.deploy.c.graph import (
    Combine,
    Concat,
    Geometry,
    Graph,
    Kind,
    Reorder,
    Value,
    Window,
)
from zoo.deploy.c.rules import (
    OPERATOR,
    as_image,
    geometry,
    keras,
    rule,
    unsupported,
)


def combined(graph: Graph, layer: Any, inputs: Sequence[Value], multiply: bool) -> Value:
    """Return the sum or product; a value of one pixel, such as a gate, is broadcast."""
    first, *others = sorted(inputs, key=lambda x: -x.pixels)
    for other in others:
        if other.channels != first.channels or other.pixels not in (1, first.pixels):
            raise unsupported(layer, f"shapes {other.shape} and {first.shape} cannot be combined")
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
        raise unsupported(
            layer, f"the only supported TensorFlow function is x + y, not {layer.symbol}"
        )
    return combined(graph, layer, inputs, multiply=False)


@rule(keras.Lambda)
def identity(graph: Graph, layer: Any, inputs: Sequence[Value]) -> Value:
    # larq-zoo uses such layers to name points in the graph.
    if layer.function(layer.input, **(layer.arguments or {})) is not layer.input:
        raise unsupported(layer, "a Lambda layer is only supported if it returns its input")
    return inputs[0]


@rule(*IDLE)
def unchanged(graph: Graph, layer: Any, inputs: Sequence[Value]) -> Value:
    return inputs[0]


@rule(keras.Concatenate)
def concatenate(graph: Graph, layer: Any, inputs: Sequence[Value]) -> Value:
    if layer.axis not in (-1, 3) and not (layer.axis == 1 and inputs[0].pixels == 1):
        raise unsupported(layer, "it does not act on the channels")
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
    kind = Kind.MAXIMUM if isinstance(layer, keras.MaxPooling2D) else Kind.MEAN
    where = geometry(layer, x, layer.pool_size, (1, 1))
    return _pooled(graph, layer, x, kind, where, layer.compute_output_shape((1, *x.shape))[1:3])


@rule(keras.GlobalAveragePooling2D, keras.GlobalMaxPooling2D)
def global_pool(graph: Graph, layer: Any, inputs: Sequence[Value]) -> Value:
    (x,) = inputs
    kind = Kind.MAXIMUM if isinstance(layer, keras.GlobalMaxPooling2D) else Kind.MEAN
    return _pooled(graph, layer, x, kind, Geometry(x.shape[:2]), (1, 1))


@rule(keras.ZeroPadding2D)
def zero_padding(graph: Graph, layer: Any, inputs: Sequence[Value]) -> Value:
    (x,) = inputs
    (top, bottom), (left, right) = layer.padding
    size = (x.shape[0] + top + bottom, x.shape[1] + left + right)
    return _pooled(graph, layer, x, Kind.LOAD, Geometry(pads=(top, left)), size)


@rule(zoo_layers.SubsamplePad)
def subsample_pad(graph: Graph, layer: Any, inputs: Sequence[Value]) -> Value:
    (x,) = inputs
    step = layer.strides
    size = (-(-x.shape[0] // step), -(-x.shape[1] // step))
    channel = (layer.filters - x.channels) // 2
    node = Window(
        [x],
        Value((*size, layer.filters)),
        layer.name,
        Kind.LOAD,
        Geometry(strides=(step, step)),
        channel=channel,
    )
    return graph.add(node)
