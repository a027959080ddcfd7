"""larq-zoo's models with checked weights and all Keras arguments, as this zoo's models have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from zoo.catalog import Row
from zoo.errors import InvalidValueError
from zoo.models import finished, split
from zoo.weights import load


def larq_zoo_model(row: Row, arguments: Mapping[str, Any]) -> tf.keras.Model:
    """Build a model of larq-zoo.

    Args:
        row: its row in the catalog.
        arguments: the arguments of larq-zoo's function, and `pooling`, `classes` and `name`.

    Raises:
        ZooError: a value is wrong, or the weights are unavailable or do not fit.
        TypeError, ValueError: larq-zoo refuses an argument.
    """
    own, finishing = split(dict(arguments))
    own.setdefault("weights", "imagenet")
    if own.get("input_tensor") is not None:
        raise InvalidValueError(
            f"input_tensor is not supported by {row.model}, a larq-zoo model: build it with "
            "input_shape=(height, width, channels) and call the model with the tensor."
        )
    # larq-zoo's weights are loaded with our checks, never by its own download.
    model = row.function()(**own) if own["weights"] is None else load.larq_zoo_model(row, own)
    return finished(model, own.get("include_top", True), **finishing)
