"""Pooling and padding layers, a continuation of `_layers`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from openvino import opset15 as ops

from zoo import layers as ours
from zoo.deploy.openvino._convolutions import same_padding
from zoo.deploy.openvino._layers import builds, keras, node_value
from zoo.deploy.openvino._values import Term, Value


@builds(ours.SymmetricMaxPool2D)
def symmetric_max_pool(layer: Any, inputs: Sequence[Value], binary: bool) -> Value:
    return _max_pool(inputs[0].output(), (2, 2), (3, 3), (1, 1), (1, 1))


@builds(keras.MaxPooling2D)
def max_pool(layer: Any, inputs: Sequence[Value], binary: bool) -> Value:
    low, high = _padding(layer, inputs[0].shape)
    return _max_pool(inputs[0].output(), layer.strides, layer.pool_size, low, high)


def _max_pool(x: Any, strides: Any, size: Any, low: Any, high: Any) -> Value:
    return node_value(ops.max_pool(x, list(strides), [1, 1], list(low), list(high), list(size)))


@builds(keras.AveragePooling2D)
def average_pool(layer: Any, inputs: Sequence[Value], binary: bool) -> Value:
    (x,) = inputs
    low, high = _padding(layer, x.shape)
    node = ops.avg_pool(
        x.settled(), list(layer.strides), list(low), list(high), list(layer.pool_size), True
    )
    return node_value(node, shift=x.shift)  # the mean over existing pixels does not change a shift


def _padding(layer: Any, shape: Sequence[int]) -> tuple[Sequence[int], Sequence[int]]:
    if layer.padding == "valid":
        return (0, 0), (0, 0)
    sides = [
        same_padding(*each) for each in zip(shape[2:], layer.pool_size, layer.strides, strict=True)
    ]
    low, high = zip(*sides, strict=True)
    return low, high


@builds(keras.GlobalAveragePooling2D)
def global_average_pool(layer: Any, inputs: Sequence[Value], binary: bool) -> Value:
    (x,) = inputs
    axes = ops.constant(np.array([2, 3]))
    return node_value(ops.reduce_mean(x.settled(), axes, bool(layer.keepdims)), shift=x.shift)


@builds(keras.ZeroPadding2D)
def zero_padding(layer: Any, inputs: Sequence[Value], binary: bool) -> Value:
    (top, bottom), (left, right) = layer.padding
    return node_value(_padded(inputs[0].output(), (0, 0, top, left), (0, 0, bottom, right)))


def _padded(x: Any, low: Sequence[int], high: Sequence[int]) -> Any:
    begin, end = (ops.constant(np.array(sides)) for sides in (low, high))
    return ops.pad(x, begin, end, "constant", ops.constant(np.float32(0)))


@builds(ours.SubsamplePad)
def subsample_pad(layer: Any, inputs: Sequence[Value], binary: bool) -> Value:
    (x,) = inputs
    missing = layer.filters - x.channels
    low, high = missing // 2, missing - missing // 2
    # Subsample by a pooling of one pixel: this keeps OpenVINO's channels-last memory.
    strides = [layer.strides] * 2
    node = ops.max_pool(x.settled(), strides, [1, 1], [0, 0], [0, 0], [1, 1]).output(0)
    if missing:
        node = _padded(node, (0, low, 0, 0), (0, high, 0, 0)).output(0)
    shift = None if x.shift is None else np.pad(x.shift, (low, high))
    return Value([Term(node)], _shape(node), shift)


def _shape(node: Any) -> tuple[int, ...]:
    return tuple(node.get_shape())
