"""The slots of a network. They have larq-zoo's names and are set at the start of a family's file.

A slot is an attribute of a factory's class: `input_quantizer`, `kernel_quantizer`,
`kernel_initializer` or `kernel_constraint`. A subclass can set it, as in larq-zoo.
"""

from __future__ import annotations

import inspect
from functools import partial
from types import FunctionType
from typing import Any

import tensorflow as tf

# PyTorch's default for real layers: uniform(+-1 / sqrt(fan_in)).
real_initializer = partial(tf.keras.initializers.VarianceScaling, 1 / 3, "fan_in", "uniform")

# The start of binary kernels in the authors' ImageNet code: uniform in [0, 0.001], so every sign is
# +1. It does not affect the result there: training with Adam lasts hundreds of epochs, or the
# kernels come from the first stage.
near_zero_initializer = partial(tf.keras.initializers.RandomUniform, 0.0, 0.001)


def slot(factory: Any, name: str) -> Any:
    """Return the object in the slot `name`, new for each layer.

    A slot contains None, a name that Keras or larq knows, a class or a `functools.partial` of a
    class, a function, or an object. Each layer gets a copy of an object: quantizers may have
    weights, and an initializer object repeats its random numbers.
    """
    static = inspect.getattr_static(type(factory), name)
    if isinstance(static, FunctionType):
        return static  # getattr would bind it as a method, with the factory as first argument
    value = getattr(factory, name)
    if isinstance(value, type | partial):
        return value()
    if hasattr(value, "get_config"):
        return type(value).from_config(value.get_config())
    return value
