"""The papers' optimizers, with PyTorch's constants.

They are Keras's `legacy` optimizers: each updates a weight with one fused kernel.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import tensorflow as tf

OPTIMIZERS = ("adam", "sgd")

MakeOptimizer = Callable[[float], Any]  # makes a legacy optimizer of Keras for a learning rate


def adam(learning_rate: float) -> tf.keras.optimizers.legacy.Optimizer:
    """Return Adam (1412.6980) with epsilon 1e-8."""
    import tensorflow as tf

    return tf.keras.optimizers.legacy.Adam(learning_rate, epsilon=1e-8)


def sgd(momentum: float = 0.9, nesterov: bool = False) -> MakeOptimizer:
    """Return a maker of stochastic gradient descent with momentum."""

    def make(learning_rate: float) -> tf.keras.optimizers.legacy.Optimizer:
        import tensorflow as tf

        return tf.keras.optimizers.legacy.SGD(learning_rate, momentum=momentum, nesterov=nesterov)

    return make


def named(name: str, momentum: float = 0.9, nesterov: bool = False) -> MakeOptimizer:
    """Return the optimizer of this name, one of `OPTIMIZERS`; the other arguments are for sgd."""
    return adam if name == "adam" else sgd(momentum, nesterov)
