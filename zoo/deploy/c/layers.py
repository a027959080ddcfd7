"""Convert a Keras model to a graph."""

from __future__ import annotations

import tensorflow as tf

from zoo.deploy.c import activations, convolutions, shapes  # noqa: F401  (they register rules)
from zoo.deploy.c.graph import (
    Graph,
    Value,
)
from zoo.deploy.c.rules import (
    as_image,
    rule_of,
    unsupported,
)
from zoo.deploy.walk import calls
from zoo.errors import DeployError


def build_graph(model: tf.keras.Model) -> tuple[Graph, Value]:
    """Return the graph of a functional model with one input and one output, and the output.

    Raises:
        DeployError: a layer, or the structure of the model, cannot be exported to C.
    """
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise DeployError(
            f"A model with one input and one output can be exported to C, not one with "
            f"{len(model.inputs)} and {len(model.outputs)}."
        )
    graph = Graph(as_image(model.inputs[0].shape))
    values = {id(model.inputs[0]): graph.image}
    for call in calls(model):
        if not call.inputs:
            if call.outputs[0] not in values:
                raise DeployError(f"'{call.layer.name}' is not an input of the model.")
            continue
        if len(call.outputs) != 1 or any(key not in values for key in call.inputs):
            raise unsupported(call.layer, "it has several outputs")
        if any(getattr(call.layer, "dtype", None) == kind for kind in ("float16", "bfloat16")):
            raise unsupported(call.layer, f"its weights are {call.layer.dtype}, not float32")
        inputs = [values[key] for key in call.inputs]
        values[call.outputs[0]] = rule_of(call.layer)(graph, call.layer, inputs)
    return graph, graph.loaded(values[id(model.outputs[0])])
