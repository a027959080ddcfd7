"""larq-zoo's models with what this zoo's have besides: checked weights, Keras's other arguments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from zoo.catalog import Row
from zoo.models import check_input_tensor, copy_weights, finished, split
from zoo.weights import load


def neighbours_model(row: Row, arguments: Mapping[str, Any]) -> tf.keras.Model:
    """Build a model of larq-zoo.

    Args:
        row: its row in the catalog.
        arguments: those of larq-zoo's function, and `pooling`, `classes` and `name`.

    Raises:
        ZooError: a value is wrong, or the weights cannot be had or do not fit.
        TypeError, ValueError: larq-zoo refuses an argument.
    """
    own, finishing = split(dict(arguments))
    # Left to itself, larq-zoo would download its set without what is checked here.
    own.setdefault("weights", "imagenet")
    tensor = own.get("input_tensor")
    if tensor is not None:
        check_input_tensor(tensor)
    if own["weights"] is None:
        model = row.function()(**own)
    elif tensor is None or not _layers_in_front(tensor):
        model = load.neighbours_model(row, own)
    else:
        model = row.function()(**{**own, "weights": None})
        shape = tuple(tensor.shape[1:])
        plain = load.neighbours_model(row, {**own, "input_tensor": None, "input_shape": shape})
        in_front = {id(layer) for layer in _layers_in_front(tensor)}
        behind = [layer for layer in model.layers if id(layer) not in in_front]
        copy_weights(plain.layers[1:], behind)  # the first is its input
    return finished(model, own.get("include_top", True), **finishing)


def _layers_in_front(tensor: Any) -> list[tf.keras.layers.Layer]:
    """The layers that compute a Keras tensor, its input among them; none for an input."""
    inputs = tf.keras.utils.get_source_inputs(tensor)
    if any(tensor is each for each in inputs):
        return []
    return tf.keras.Model(inputs, tensor).layers
