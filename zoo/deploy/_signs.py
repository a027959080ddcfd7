"""Which quantizers are signs: decided by their outputs, not by their names."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

_PROBES = np.array([-100, -2, -1, -0.6, -0.1, -1e-3, 0, 1e-3, 0.1, 0.6, 1, 2, 100], np.float32)


def is_sign(quantizer: Any) -> bool:
    """Whether it returns +1 for x >= 0, else -1."""
    if quantizer is None:
        return False
    values = np.asarray(quantizer(tf.constant(_PROBES)))
    return bool((values == np.where(_PROBES >= 0, 1, -1)).all())


def binary_kernel(kernel: np.ndarray) -> tuple[np.ndarray | None, np.ndarray]:
    """Signs and scale per filter of a kernel (out, ...), or None where it has other values."""
    axes = tuple(range(1, kernel.ndim))
    scale = np.abs(kernel).max(axis=axes)
    signs = np.where(kernel >= 0, 1, -1)
    two_values = np.abs(kernel) == scale.reshape(-1, *[1] * len(axes))
    return (signs if two_values.all() else None), scale


def quantized_kernel(layer: Any) -> tf.Tensor:
    """The kernel that a larq layer convolves with; of another layer, its kernel."""
    latent = tf.convert_to_tensor(layer.kernel)
    quantizer = getattr(layer, "kernel_quantizer", None)
    return latent if quantizer is None else quantizer(latent)


def takes_signs(model: tf.keras.Model) -> bool:
    """Whether a layer of the model quantises its input: rounding may flip a sign there."""
    return any(getattr(part, "input_quantizer", None) is not None for part in model.submodules)
