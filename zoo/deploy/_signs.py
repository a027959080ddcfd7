"""Find out whether quantizers compute signs, from their outputs, not from their names."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

_PROBES = np.array([-100, -2, -1, -0.6, -0.1, -1e-3, 0, 1e-3, 0.1, 0.6, 1, 2, 100], np.float32)


def is_sign(quantizer: Any) -> bool:
    """Return whether the quantizer gives +1 for x >= 0, else -1."""
    if quantizer is None:
        return False
    values = np.asarray(quantizer(tf.constant(_PROBES)))
    return bool((values == np.where(_PROBES >= 0, 1, -1)).all())


def binary_kernel(kernel: np.ndarray) -> tuple[np.ndarray | None, np.ndarray]:
    """Return signs and scales of a kernel (out, ...); None for the signs if it is not binary."""
    axes = tuple(range(1, kernel.ndim))
    scale = np.abs(kernel).max(axis=axes)
    signs = np.where(kernel >= 0, 1, -1)
    two_values = np.abs(kernel) == scale.reshape(-1, *[1] * len(axes))
    return (signs if two_values.all() else None), scale


def quantized_kernel(layer: Any) -> tf.Tensor:
    """Return the quantized kernel of a larq layer, or the kernel of another layer."""
    latent = tf.convert_to_tensor(layer.kernel)
    quantizer = getattr(layer, "kernel_quantizer", None)
    return latent if quantizer is None else quantizer(latent)


def takes_signs(model: tf.keras.Model) -> bool:
    """Return whether a layer of the model quantizes its input: rounding may flip signs there."""
    return any(getattr(part, "input_quantizer", None) is not None for part in model.submodules)
