"""Read and change a `.tflite` file: operations, notes, order and names of inputs and outputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np


def operations(flatbuffer: bytes) -> list[tuple[str, list[str]]]:
    """Return each operation's name, and the names of the tensors that it reads and writes."""
    from tensorflow.lite.python import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(flatbuffer)
    builtin = {value: name for name, value in vars(schema.BuiltinOperator).items()}
    found = []
    for graph in model.subgraphs:
        for operator in graph.operators:
            code = model.operatorCodes[operator.opcodeIndex]
            number = max(code.builtinCode, code.deprecatedBuiltinCode)
            name = code.customCode.decode() if code.customCode else builtin.get(number, str(number))
            tensors = [i for i in np.concatenate([operator.inputs, operator.outputs]) if i >= 0]
            found.append((name, [graph.tensors[int(i)].name.decode() for i in tensors]))
    return found


def custom_operations(flatbuffer: bytes) -> set[str]:
    """Return the names of the operations that are not part of TFLite."""
    from tensorflow.lite.python import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(flatbuffer)
    return {code.customCode.decode() for code in model.operatorCodes if code.customCode}


def input_key(index: int) -> str:
    """Return an input's name for the converter: it refuses characters that Keras allows."""
    return f"in{index:04d}"


def output_key(index: int) -> str:
    """Return an output's name for the converter."""
    return f"out{index:04d}"


def arranged(flatbuffer: bytes, inputs: Sequence[str], outputs: Sequence[str]) -> bytes:
    """Return a converted file with inputs and outputs in the model's order and with these names.

    Converters sort them by name, or in the order of the graph. In the file's signature their names
    must be `input_key(0)`, ... and `output_key(0)`, ...
    """
    from tensorflow.lite.python import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(flatbuffer)
    (signature,) = model.signatureDefs
    graph = model.subgraphs[signature.subgraphIndex]
    graph.inputs = _renamed(signature.inputs, [input_key(i) for i in range(len(inputs))], inputs)
    graph.outputs = _renamed(
        signature.outputs, [output_key(i) for i in range(len(outputs))], outputs
    )
    for index, name in zip(graph.inputs, inputs, strict=True):
        graph.tensors[index].name = f"serving_default_{name}:0"
    return _packed(model)


def with_note(flatbuffer: bytes, name: str, text: str) -> bytes:
    """Return the file with a text added to its metadata, which runtimes ignore."""
    from tensorflow.lite.python import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(flatbuffer)
    note, buffer = schema.MetadataT(), schema.BufferT()
    buffer.data = np.frombuffer(text.encode(), np.uint8)
    note.name, note.buffer = name, len(model.buffers)
    model.buffers = [*model.buffers, buffer]
    model.metadata = [*(model.metadata or []), note]
    return _packed(model)


def read_note(flatbuffer: bytes, name: str) -> str | None:
    """Return the text that `with_note` added to a file, or None."""
    from tensorflow.lite.python import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(flatbuffer)
    for note in model.metadata or []:
        if note.name == name.encode():
            data = model.buffers[note.buffer].data
            return None if data is None else bytes(bytearray(data)).decode(errors="replace")
    return None


def _packed(model: Any) -> bytes:
    import flatbuffers

    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _renamed(maps: list[Any], keys: Sequence[str], names: Sequence[str]) -> np.ndarray:
    """Return the tensors of a signature in the order of `keys`; set `names` in its entries."""
    by_key = {each.name.decode(): each for each in maps}
    maps[:] = [by_key[key] for key in keys]
    for each, name in zip(maps, names, strict=True):
        each.name = name
    return np.array([each.tensorIndex for each in maps], np.int32)
