"""The content of a `.tflite` file: operations, notes, and the order and names of inputs and "
"outputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np


def operations(flatbuffer: bytes) -> list[tuple[str, list[str]]]:
    """Each operation's name, and the names of the tensors it reads and writes."""
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
    """Names of the operations that are not TFLite's own."""
    from tensorflow.lite.python import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(flatbuffer)
    return {code.customCode.decode() for code in model.operatorCodes if code.customCode}


def input_key(index: int) -> str:
    """What the converter is told an input is called: Keras's names may hold what it refuses."""
    return f"in{index:04d}"


def output_key(index: int) -> str:
    """The same for an output."""
    return f"out{index:04d}"


def arranged(flatbuffer: bytes, inputs: Sequence[str], outputs: Sequence[str]) -> bytes:
    """A converted file with inputs and outputs in the model's order, and under these names.

    Converters sort them by name, or as the graph happens to be. The file's signature must call
    them `input_key(0)`, ... and `output_key(0)`, ...
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
    """The file with a text in its metadata, which runtimes ignore."""
    from tensorflow.lite.python import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(flatbuffer)
    note, buffer = schema.MetadataT(), schema.BufferT()
    buffer.data = np.frombuffer(text.encode(), np.uint8)
    note.name, note.buffer = name, len(model.buffers)
    model.buffers = [*model.buffers, buffer]
    model.metadata = [*(model.metadata or []), note]
    return _packed(model)


def read_note(flatbuffer: bytes, name: str) -> str | None:
    """A text that `with_note` put into a file, or None."""
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
    """The tensors of a signature in the order of `keys`; their entries get `names`."""
    by_key = {each.name.decode(): each for each in maps}
    maps[:] = [by_key[key] for key in keys]
    for each, name in zip(maps, names, strict=True):
        each.name = name
    return np.array([each.tensorIndex for each in maps], np.int32)
