"""Choose the rule for a Keras layer by its class; functions that rules share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from zoo import layers as zoo_layers
from zoo.deploy._known import known_class, reason
from zoo.deploy.c.graph import Geometry, Graph, Shape, Value
from zoo.errors import DeployError

keras = tf.keras.layers
Rule = Callable[[Graph, Any, Sequence[Value]], Value]
RULES: dict[type, Rule] = {}
# The class of the layer that Keras makes for `x + y`.
OPERATOR: type = type((tf.keras.Input((1,)) + tf.keras.Input((1,))).node.layer)


def unsupported(layer: Any, reason: str) -> DeployError:
    return DeployError(f"The layer '{layer.name}' cannot be exported to C: {reason}.")


def rule(*classes: type) -> Callable[[Rule], Rule]:
    """Register a function for layers of these classes."""

    def register(function: Rule) -> Rule:
        RULES.update(dict.fromkeys(classes, function))
        return function

    return register


def rule_of(layer: Any) -> Rule:
    """Return the rule of a layer's class, or of a base class with the same computation.

    Raises:
        DeployError: the code that computes the layer is unknown, or channels are not last.
    """
    # Keras gives each layer for an operator a new `call`; the rule checks the function.
    cls = OPERATOR if type(layer) is OPERATOR else known_class(layer, RULES)
    if cls is None:
        raise unsupported(layer, reason(layer, RULES))
    if getattr(layer, "data_format", "channels_last") != "channels_last":
        raise unsupported(layer, "only data_format='channels_last' is supported")
    return RULES[cls]


def as_image(shape: Any) -> Shape:
    """Convert a Keras shape (batch, h, w, c) or (batch, c) to (h, w, c)."""
    sizes = tuple(int(size) for size in shape[1:])
    if len(sizes) not in (1, 3):
        raise DeployError(
            f"Only images and vectors can be exported, not inputs of shape {tuple(shape)}."
        )
    return sizes if len(sizes) == 3 else (1, 1, sizes[0])  # type: ignore[return-value]


def numbers(weight: Any) -> np.ndarray:
    """Return a weight as float64, so that folding several weights rounds only once."""
    return np.asarray(tf.convert_to_tensor(weight), np.float64)


def same_padding(size: int, span: int, step: int) -> int:
    """Return the padding before the image in TensorFlow's "same"; an odd pixel goes behind it."""
    return max((-(-size // step) - 1) * step + span - size, 0) // 2


def geometry(layer: Any, x: Value, kernel: Sequence[int], dilations: Sequence[int]) -> Geometry:
    spans = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    if layer.padding == "same" and isinstance(layer, zoo_layers.SymmetricConv2D):
        pads = [span // 2 for span in spans]
    elif layer.padding == "same":
        pads = [same_padding(*each) for each in zip(x.shape, spans, layer.strides, strict=False)]
    elif layer.padding == "valid":
        pads = [0, 0]
    else:
        raise unsupported(layer, f"padding='{layer.padding}' is not supported")
    return Geometry(two(kernel), two(layer.strides), two(pads), two(dilations))


def two(numbers: Sequence[int]) -> tuple[int, int]:
    first, second = numbers
    return int(first), int(second)
