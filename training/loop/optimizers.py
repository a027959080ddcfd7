"""The papers' optimizers, with PyTorch's constants.

They are Keras's `legacy` ones, whose update is one fused kernel per weight.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import tensorflow as tf

OPTIMIZERS = ("adam", "sgd")

MakeOptimizer = Callable[[float], Any]  # gives a legacy optimizer of Keras


def adam(learning_rate: float) -> tf.keras.optimizers.legacy.Optimizer:
    """Adam (1412.6980) with epsilon 1e-8."""
    import tensorflow as tf

    return tf.keras.optimizers.legacy.Adam(learning_rate, epsilon=1e-8)


def sgd(momentum: float = 0.9, nesterov: bool = False) -> MakeOptimizer:
    """Stochastic gradient descent with momentum."""

    def make(learning_rate: float) -> tf.keras.optimizers.legacy.Optimizer:
        import tensorflow as tf

        return tf.keras.optimizers.legacy.SGD(learning_rate, momentum=momentum, nesterov=nesterov)

    return make


def named(name: str, momentum: float = 0.9, nesterov: bool = False) -> MakeOptimizer:
    """The optimizer of this name, one of `OPTIMIZERS`; the other arguments are sgd's."""
    return adam if name == "adam" else sgd(momentum, nesterov)
