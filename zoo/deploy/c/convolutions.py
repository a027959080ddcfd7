"""Rules for convolutions and dense layers: binary if input and kernel are signs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from zoo import layers as zoo_layers
from zoo.adapters import larq
from zoo.deploy._signs import binary_kernel, is_sign, quantized_kernel
from zoo.deploy.c.activations import activated
from zoo.deploy.c.graph import (
    Function,
    Geometry,
    Graph,
    Kind,
    Shape,
    Value,
    Window,
)
from zoo.deploy.c.rules import (
    as_image,
    geometry,
    keras,
    numbers,
    rule,
    unsupported,
)


@rule(keras.Conv2D, larq.QuantConv2D, zoo_layers.SymmetricConv2D)
def convolution(graph: Graph, layer: Any, inputs: Sequence[Value]) -> Value:
    (x,) = inputs
    where = geometry(layer, x, layer.kernel_size, layer.dilation_rate)
    shape = as_image(layer.compute_output_shape((1, *x.shape)))
    pad_value = float(getattr(layer, "pad_values", 0.0))
    kernel = numbers(quantized_kernel(layer))
    return _convolved(graph, layer, x, kernel, where, shape, int(layer.groups), pad_value)


@rule(keras.Dense, larq.QuantDense)
def dense(graph: Graph, layer: Any, inputs: Sequence[Value]) -> Value:
    (x,) = inputs
    kernel = numbers(quantized_kernel(layer))[None, None]
    shape = (x.shape[0], x.shape[1], kernel.shape[-1])
    return _convolved(graph, layer, x, kernel, Geometry(), shape, 1, 0.0)


def _convolved(
    graph: Graph,
    layer: Any,
    x: Value,
    kernel: np.ndarray,
    where: Geometry,
    shape: Shape,
    groups: int,
    pad_value: float,
) -> Value:
    quantizer = getattr(layer, "input_quantizer", None)
    output, scale = Value(shape), None
    if quantizer is not None and not is_sign(quantizer):
        raise unsupported(layer, "its input quantizer is not a sign")
    signs, sizes = binary_kernel(kernel.transpose(3, 0, 1, 2))
    if quantizer is not None and signs is not None:
        if groups > 1:
            raise unsupported(layer, "a grouped binary convolution is not supported")
        fill = 0 if getattr(layer, "_is_native_padding", True) else 1 if pad_value >= 0 else -1
        bits = graph.signs(x)
        bits.narrow &= where.dilations[1] == 1  # neighbouring pixels share a word
        weights = signs.transpose(1, 2, 3, 0)
        graph.add(Window([], output, layer.name, Kind.BINARY, where, weights, 1, fill, 0, bits))
        scale = None if (sizes == 1).all() else sizes
    else:
        if not getattr(layer, "_is_native_padding", True) and pad_value:
            raise unsupported(layer, "a float convolution must be padded with 0")
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
    """Return a grouped convolution's kernel as a full kernel with zeros between the groups."""
    height, width, channels, filters = kernel.shape
    whole = np.zeros((height, width, channels * groups, filters))
    for group in range(groups):
        rows = slice(group * channels, (group + 1) * channels)
        columns = slice(group * filters // groups, (group + 1) * filters // groups)
        whole[:, :, rows, columns] = kernel[..., columns]
    return whole


@rule(keras.DepthwiseConv2D, larq.QuantDepthwiseConv2D)
def depthwise(graph: Graph, layer: Any, inputs: Sequence[Value]) -> Value:
    (x,) = inputs
    if layer.depth_multiplier != 1:
        raise unsupported(layer, "only depth_multiplier=1 is supported")
    if getattr(layer, "input_quantizer", None) is not None:
        raise unsupported(layer, "a binary depthwise convolution is not supported")
    if not getattr(layer, "_is_native_padding", True):
        raise unsupported(layer, "a float convolution must be padded with 0")
    kernel = tf.convert_to_tensor(layer.depthwise_kernel)
    if getattr(layer, "depthwise_quantizer", None) is not None:
        kernel = layer.depthwise_quantizer(kernel)
    where = geometry(layer, x, layer.kernel_size, layer.dilation_rate)
    output = Value(as_image(layer.compute_output_shape((1, *x.shape))))
    graph.add(Window([x], output, layer.name, Kind.DEPTHWISE, where, numbers(kernel)[..., 0]))
    if layer.use_bias:
        output = graph.affine(output, None, numbers(layer.bias), layer.name)
    return activated(graph, layer, output, layer.activation)
