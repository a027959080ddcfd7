"""The papers' optimizers, with PyTorch's constants.

They are Keras's `legacy` ones, whose update is one fused kernel per weight.
"""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from zoo.errors import UnknownNameError


def adam(learning_rate: float) -> tf.keras.optimizers.legacy.Optimizer:
    """Adam (1412.6980) with epsilon 1e-8."""
    return tf.keras.optimizers.legacy.Adam(learning_rate, epsilon=1e-8)


def sgd(nesterov: bool = False) -> Callable[[float], tf.keras.optimizers.legacy.Optimizer]:
    """Stochastic gradient descent with momentum 0.9."""

    def make(learning_rate: float) -> tf.keras.optimizers.legacy.Optimizer:
        return tf.keras.optimizers.legacy.SGD(learning_rate, momentum=0.9, nesterov=nesterov)

    return make


OPTIMIZERS: dict[str, Callable[[float], tf.keras.optimizers.legacy.Optimizer]] = {
    "adam": adam, "sgd": sgd(),
}  # fmt: skip


def named(name: str) -> Callable[[float], tf.keras.optimizers.legacy.Optimizer]:
    """The optimizer of this name. Raises UnknownNameError."""
    if name not in OPTIMIZERS:
        raise UnknownNameError("optimizer", name, OPTIMIZERS)
    return OPTIMIZERS[name]
