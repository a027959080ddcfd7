"""Convolutions that train fast on a CPU.

Binary convolutions may train in bfloat16 if the CPU supports it. Signs are exact in bfloat16. Sums
are computed in float32 and rounded to 8 bits once at the end: sums of signs up to 256 (even sums up
to 512) are exact. In the backward pass, the incoming gradient and a filter's scale are also
rounded.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import tensorflow as tf

# With fewer channels, the casts to bfloat16 take more time than the convolution saves (measured
# with 8).
LEAST_CHANNELS = 16

_bfloat16 = False  # not a context variable: tf.distribute traces replicas in separate threads


@contextmanager
def bfloat16_convolutions(on: bool = True) -> Iterator[None]:
    """Compute binary convolutions traced in this block in bfloat16, and their gradients too."""
    global _bfloat16
    before, _bfloat16 = _bfloat16, on
    try:
        yield
    finally:
        _bfloat16 = before


@functools.cache
def cpu_multiplies_bfloat16() -> bool:
    """Return whether the CPU has bfloat16 instructions (avx512_bf16 or amx_bf16; on Linux)."""
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8").split()
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags


def convolve(
    x: tf.Tensor,
    kernel: tf.Tensor,
    strides: tuple[int, int],
    padding: str,
    dilations: tuple[int, int],
    *,
    binary: bool = False,
    scaled: bool = True,
) -> tf.Tensor:
    """Compute `tf.nn.conv2d`, with faster training.

    Args:
        x: (batch, height, width, in).
        kernel: (kernel height, kernel width, in, out).
        strides, padding, dilations: as in `tf.nn.conv2d`; padding "SAME" or "VALID".
        binary: x contains signs, and each filter of the kernel only two values, -s and s.
        scaled: whether s may differ from 1.
    """
    rounds = binary and _bfloat16 and kernel.shape[2] >= LEAST_CHANNELS and x.dtype == tf.float32
    plain = strides == dilations == (1, 1) and padding == "SAME"
    multiplies = plain and _is_small(x, kernel)
    if not (rounds or multiplies):
        return tf.nn.conv2d(x, kernel, strides, padding, dilations=dilations)
    shared: dict[str, Any] = {
        "strides": [1, *strides, 1],
        "padding": padding,
        "dilations": [1, *dilations, 1],
    }
    dtype = tf.bfloat16 if rounds else x.dtype

    def forward(signs: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        y = tf.nn.conv2d(signs, tf.cast(kernel, dtype), strides, padding, dilations=dilations)
        return tf.cast(y, x.dtype)

    @tf.custom_gradient
    def convolution(x: tf.Tensor, kernel: tf.Tensor) -> Any:
        signs = tf.cast(x, dtype)
        if rounds and scaled:
            y = scale_and_shift(forward(signs, tf.sign(kernel)), tf.abs(kernel[0, 0, 0]))
        else:
            y = forward(signs, kernel)

        def gradient(dy: tf.Tensor) -> list[tf.Tensor]:
            weights, dy = tf.cast(kernel, dtype), tf.cast(dy, dtype)
            dx = tf.raw_ops.Conv2DBackpropInput(
                input_sizes=tf.shape(x), filter=weights, out_backprop=dy, **shared
            )
            if multiplies:
                dw = _kernel_gradient(signs, dy, kernel.shape[:2])
            else:
                dw = tf.raw_ops.Conv2DBackpropFilter(
                    input=signs, filter_sizes=tf.shape(kernel), out_backprop=dy, **shared
                )
            return [tf.cast(each, x.dtype) for each in (dx, dw)]

        return y, gradient

    return convolution(x, tf.convert_to_tensor(kernel))


def scale_and_shift(
    x: tf.Tensor, scale: tf.Tensor | None = None, shift: tf.Tensor | None = None
) -> tf.Tensor:
    """Return x * scale + shift, both per channel, without a gradient.

    In float32 it uses the kernel of batch norm, which takes half the time of TensorFlow's
    broadcasting.
    """
    if x.dtype != tf.float32 or x.shape.rank != 4:
        x = x if scale is None else x * scale
        return x if shift is None else x + shift
    channels = [x.shape[-1]]
    zeros, ones = tf.zeros(channels), tf.ones(channels)
    return tf.raw_ops.FusedBatchNormV3(
        x=x,
        scale=ones if scale is None else scale,
        offset=zeros if shift is None else shift,
        mean=zeros,
        variance=ones,
        epsilon=0,
        is_training=False,
    ).y


def pixel_sum(x: tf.Tensor) -> tf.Tensor:
    """Return the sum over all axes except the last.

    For images these are three short sums. This is faster and more accurate than one long float32
    sum, which loses 4 bits.
    """
    for axis in reversed(range(x.shape.rank - 1)):
        x = tf.reduce_sum(x, axis)
    return x


def _is_small(x: tf.Tensor, kernel: tf.Tensor) -> bool:
    """Return whether matrix products compute the kernel gradient faster than oneDNN.

    Time of matrix products relative to oneDNN, measured for 3x3 kernels: a quarter to a half with
    1024 channels at 7x7; two thirds with 512 at 14x14; 1.1 times with 256 at 28x28; several times
    with 16 at 32x32.
    """
    height, width, channels = x.shape[1:]
    if tuple(kernel.shape[:2]) == (1, 1):
        return True
    return channels >= 512 and None not in (height, width) and 2 * height * width <= channels


def _kernel_gradient(x: tf.Tensor, dy: tf.Tensor, size: tuple[int, int]) -> tf.Tensor:
    """Return the kernel gradient for stride 1 and "same" padding: a matrix product per position."""
    height, width, filters = dy.shape[1:]
    channels = x.shape[-1]
    columns = tf.reshape(dy, [-1, filters])
    if tuple(size) == (1, 1):
        return tf.matmul(tf.reshape(x, [-1, channels]), columns, transpose_a=True)[None, None]
    padded = tf.pad(x, [[0, 0], *([each // 2, each // 2] for each in size), [0, 0]])
    products = [
        tf.matmul(
            tf.reshape(padded[:, top : top + height, left : left + width], [-1, channels]),
            columns,
            transpose_a=True,
        )
        for top in range(size[0])
        for left in range(size[1])
    ]
    return tf.reshape(tf.stack(products), [*size, channels, filters])
