"""The slots of a network, at the start of a family's file, with larq-zoo's names.

A slot is an attribute of a factory's class, `input_quantizer`, `kernel_quantizer`,
`kernel_initializer` or `kernel_constraint`. A subclass sets it as it would set one of larq-zoo's.
"""

from __future__ import annotations

import inspect
from functools import partial
from types import FunctionType
from typing import Any

import tensorflow as tf

# PyTorch's default of real layers: uniform(+-1 / sqrt(fan_in)).
real_initializer = partial(tf.keras.initializers.VarianceScaling, 1 / 3, "fan_in", "uniform")

# How a binary kernel starts in the authors' ImageNet code: 0 to 0.001, every sign +1. There Adam
# and hundreds of epochs, or the first stage's kernels, make it not matter.
near_zero_initializer = partial(tf.keras.initializers.RandomUniform, 0.0, 0.001)


def slot(factory: Any, name: str) -> Any:
    """The object for the slot `name`, new for each layer.

    A slot holds None, a name that Keras or larq knows, a class or a `functools.partial` of one, a
    function, or an object. Each layer gets a copy of an object, because quantizers may have
    weights, and an initializer object repeats its random numbers.
    """
    static = inspect.getattr_static(type(factory), name)
    if isinstance(static, FunctionType):
        return static  # as a method it would take the factory for its first argument
    value = getattr(factory, name)
    if isinstance(value, type | partial):
        return value()
    if hasattr(value, "get_config"):
        return type(value).from_config(value.get_config())
    return value
