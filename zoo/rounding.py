"""Gradients of binary convolutions in bfloat16: faster on CPUs that multiply it, and nearly exact.

The forward pass stays in float32. Of the backward pass's operands the signs are exact in bfloat16,
the gradient that arrives and a filter's scale are rounded to 8 bits, sums are kept in float32 and
rounded once at the end.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import tensorflow as tf

# With fewer channels the casts cost more than the convolution saves (measured at 8).
LEAST_CHANNELS = 16

_rounding = False  # no context variable: replicas of tf.distribute trace in threads of their own


@contextmanager
def rounded_gradients(on: bool = True) -> Iterator[None]:
    """While a gradient is traced in this block, binary convolutions compute theirs in bfloat16."""
    global _rounding
    before, _rounding = _rounding, on
    try:
        yield
    finally:
        _rounding = before


def rounds(channels: int, dtype: tf.DType) -> bool:
    """Whether a binary convolution of so many input channels rounds its gradients now."""
    return _rounding and channels >= LEAST_CHANNELS and dtype == tf.float32


@functools.cache
def cpu_multiplies_bfloat16() -> bool:
    """Whether this machine's CPU has bfloat16 instructions (avx512_bf16 or amx_bf16; Linux)."""
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8").split()
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags


def convolve(
    signs: tf.Tensor, kernel: tf.Tensor, strides: tuple[int, int], padding: str, dilations: Any
) -> tf.Tensor:
    """`tf.nn.conv2d` of float32 with gradients computed in bfloat16."""
    shared: dict[str, Any] = {
        "strides": [1, *strides, 1], "padding": padding, "dilations": [1, *dilations, 1],
    }  # fmt: skip

    @tf.custom_gradient
    def convolution(signs: tf.Tensor, kernel: tf.Tensor) -> Any:
        def gradient(dy: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            x, w, dy = (tf.cast(each, tf.bfloat16) for each in (signs, kernel, dy))
            dx = tf.raw_ops.Conv2DBackpropInput(
                input_sizes=tf.shape(signs), filter=w, out_backprop=dy, **shared
            )
            dw = tf.raw_ops.Conv2DBackpropFilter(
                input=x, filter_sizes=tf.shape(kernel), out_backprop=dy, **shared
            )
            return tf.cast(dx, tf.float32), tf.cast(dw, tf.float32)

        return tf.nn.conv2d(signs, kernel, strides, padding, dilations=dilations), gradient

    return convolution(signs, kernel)
