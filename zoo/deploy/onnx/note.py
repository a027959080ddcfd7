"""Read the metadata of an ONNX file, before ONNX Runtime reads the file."""

from __future__ import annotations

from typing import Any

from zoo.errors import FileError
from zoo.extras import require


def read_note(content: bytes, name: str) -> str | None:
    """Return a text from the file's metadata, or None."""
    for entry in _parsed(content).metadata_props:
        if entry.key == name:
            return entry.value
    return None


def check_self_contained(content: bytes, shown: str) -> None:
    """Raise FileError if the file's weights are stored in other files."""
    model = _parsed(content)
    tensors = list(model.graph.initializer)
    graphs = [model.graph]
    while graphs:
        for node in graphs.pop().node:
            for attribute in node.attribute:
                tensors += [attribute.t, *attribute.tensors]
                inner = [attribute.g, *attribute.graphs]
                graphs += [graph for graph in inner if graph.node or graph.initializer]
                tensors += [tensor for graph in inner for tensor in graph.initializer]
    for function in model.functions:
        tensors += [each.t for node in function.node for each in node.attribute]
    if any(tensor.external_data for tensor in tensors):
        raise FileError(f"'{shown}' is unsafe: it would read other files.")


def _parsed(content: bytes) -> Any:
    require("onnx", "An .onnx file")
    import onnx

    return onnx.load_model_from_string(content)
