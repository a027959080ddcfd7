"""Convolutions and dense layers: binary if input and kernel are signs, else in float32."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from openvino import opset15 as ops

from zoo import layers as ours
from zoo.adapters import larq
from zoo.deploy._signs import binary_kernel, is_sign, quantized_kernel
from zoo.deploy.openvino._layers import activated, builds, keras, numbers, reshaped, unsupported
from zoo.deploy.openvino._values import BYTE, Convolution, Geometry, Term, Value, constant

POINTWISE = Geometry((1, 1), (0, 0), (0, 0), (1, 1))


@builds(keras.Conv2D, larq.QuantConv2D, ours.SymmetricConv2D)
def convolution(layer: Any, inputs: Sequence[Value], binary: bool) -> Value:
    (x,) = inputs
    kernel = quantized_kernel(layer)
    kernel = numbers(kernel).transpose(3, 2, 0, 1)
    y = _convolved(layer, x, kernel, _geometry(layer, x.shape), binary)
    return _finished(layer, y)


@builds(keras.Dense, larq.QuantDense)
def dense(layer: Any, inputs: Sequence[Value], binary: bool) -> Value:
    (x,) = inputs
    pixels = x.shape[2:]
    if any(size != 1 for size in pixels):
        raise unsupported(layer, f"its input is a feature map of {pixels[0]}x{pixels[1]} pixels")
    kernel = numbers(quantized_kernel(layer)).T
    if pixels or getattr(layer, "input_quantizer", None) is not None:
        # Compute it as a convolution of one pixel: this has binary kernels and needs no reshaping.
        image = reshaped(x, (*x.shape[:2], 1, 1))
        y = _convolved(layer, image, kernel[:, :, None, None], POINTWISE, binary)
        return _finished(layer, reshaped(y, (*y.shape[:2], *pixels)))
    term = x.one_term()
    shift = None if x.shift is None else kernel @ x.shift
    weights = kernel if term.scale is None else kernel * term.scale
    image = Value([Term(term.source)], x.shape).output()
    node = ops.matmul(image, constant(weights), False, True)
    node.set_friendly_name(layer.name)
    return _finished(layer, Value([Term(node.output(0))], (x.shape[0], len(kernel)), shift))


def _convolved(layer: Any, x: Value, kernel: np.ndarray, where: Geometry, binary: bool) -> Value:
    """Return the convolution of x or of its sign."""
    batch, _, *pixels = x.shape
    reach = [
        (size - 1) * step + 1 for size, step in zip(kernel.shape[2:], where.dilations, strict=True)
    ]
    sizes = zip(pixels, where.pads_begin, where.pads_end, reach, where.strides, strict=True)
    output = [(size + low + high - far) // step + 1 for size, low, high, far, step in sizes]
    shape = (batch, len(kernel), *output)

    if getattr(layer, "input_quantizer", None) is None:
        scale = shift = None
        padded = any((*where.pads_begin, *where.pads_end))
        if x.shift is not None and (padded or where.groups > 1):
            image = x.output()
        else:
            # Without padding, a scale and a shift of the input can move to the output.
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
        raise unsupported(layer, "a grouped binary convolution is not supported")
    if binary and kernel.shape[1] % 2:
        raise unsupported(
            layer, f"it is binary and has an odd number of input channels ({kernel.shape[1]})"
        )
    if where.pad_value:
        if not binary:
            raise unsupported(layer, "a float convolution must be padded with 0")
        x = Value([Term(x.output())], x.shape)  # inverted channels would need padding with -1
    image, turned = x.signs(binary)
    numerals = signs if signs is not None and binary else kernel
    if turned.any():
        numerals = numerals * per_group(np.where(turned, -1, 1), where.groups, len(kernel))
    if binary and (missing := -kernel.shape[1] % BYTE):
        # The image's added channels of -1 are an even number and cancel each other at every pixel.
        extra = np.ones((len(kernel), missing, *kernel.shape[2:]))
        extra[:, ::2] = -1
        numerals = np.concatenate([numerals, extra], axis=1)
    source = Convolution(image, numerals, where, binary, layer.name)
    return Value([Term(source, None if not binary or (scale == 1).all() else scale)], shape)


def per_group(channels: np.ndarray, groups: int, filters: int) -> np.ndarray:
    """Return numbers per input channel in a shape to multiply a kernel (out, in/groups, h, w)."""
    parts = channels.reshape(groups, 1, -1, 1, 1)
    return np.broadcast_to(parts, (groups, filters // groups, *parts.shape[2:])).reshape(
        filters, -1, 1, 1
    )


def kernel_sum(kernel: np.ndarray, shift: np.ndarray, scale: np.ndarray | None) -> np.ndarray:
    """Return the output for a constant input `shift` per channel; the kernel contains `scale`."""
    plain = (
        kernel
        if scale is None
        else np.divide(
            kernel, scale[:, None, None], out=np.zeros_like(kernel), where=scale[:, None, None] != 0
        )
    )
    return plain.sum(axis=(2, 3)) @ shift


def _geometry(layer: Any, shape: Sequence[int]) -> Geometry:
    """Return the kernel's geometry: PyTorch's padding for the zoo's layer, else TensorFlow's."""
    sides = [(0, 0), (0, 0)]
    spans = [(k - 1) * d + 1 for k, d in zip(layer.kernel_size, layer.dilation_rate, strict=True)]
    if layer.padding == "same" and isinstance(layer, ours.SymmetricConv2D):
        sides = [(span // 2, span // 2) for span in spans]
    elif layer.padding == "same":
        sides = [same_padding(*each) for each in zip(shape[2:], spans, layer.strides, strict=True)]
    elif layer.padding != "valid":
        raise unsupported(layer, f"padding='{layer.padding}' is not supported")
    return Geometry(
        layer.strides,
        (sides[0][0], sides[1][0]),
        (sides[0][1], sides[1][1]),
        layer.dilation_rate,
        int(getattr(layer, "groups", 1)),
        float(getattr(layer, "pad_values", 0.0)),
    )


def same_padding(size: int, span: int, step: int) -> tuple[int, int]:
    """Return TensorFlow's "same" padding (before, behind); an odd pixel goes behind."""
    total = max((-(-size // step) - 1) * step + span - size, 0)
    return total // 2, total - total // 2


def _finished(layer: Any, y: Value) -> Value:
    """Apply the layer's bias and activation."""
    if layer.use_bias:
        y = y.affine(None, numbers(layer.bias))
    return activated(layer, y, layer.activation)
