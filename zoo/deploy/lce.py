"""Keras models as flatbuffers for Larq Compute Engine, whose binary kernels run on 64-bit ARM.

The converter makes an `LceBconv2d` of a convolution of signs, but only where its zero padding is
TensorFlow's "same"; elsewhere it leaves a float convolution without a word. PyTorch's symmetric
padding at stride 2 pads before the first pixel, where "same" pads behind the last. So such a
convolution is turned round: the image and the kernel are mirrored, which makes the padding that of
"same", and the result is mirrored back. That is exact and costs no memory.

Of a padded image that is smaller than the kernel, the runtime's `LceBconv2d` gives wrong sums
without a word: such a convolution is kept in float32, and so refused or allowed.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from zoo.deploy._walk import check_exportable, runtime
from zoo.errors import DeployError

if TYPE_CHECKING:
    import tensorflow as tf

OPERATION = "LceBconv2d"


def to_lce(model: tf.keras.Model, *, allow_float: bool = False) -> bytes:
    """Convert a functional Keras model, one image at a time.

    Every convolution whose input and kernel are signs becomes an `LceBconv2d`, which is counted.

    Args:
        model: a built functional model for one image size.
        allow_float: leave a binary convolution that cannot be converted in float32.

    Returns:
        The contents of a `.tflite` file, to be run by Larq Compute Engine's interpreter.

    Raises:
        DeployError: a binary convolution could not be converted (all are named), a size is open, or
            Larq Compute Engine is not installed.
    """
    check_exportable(model)
    lce = runtime("lce")
    import tensorflow as tf

    from zoo.deploy._lce_layers import binary_layers, inference_module

    with tempfile.TemporaryDirectory() as folder:
        module = inference_module(model, mirrored=True)
        tf.saved_model.save(module, folder, signatures=module.infer)
        flatbuffer = lce.convert_saved_model(folder)
    expected = binary_layers(model)
    if not allow_float and count_binary_convolutions(flatbuffer) < len(expected):
        left = _float_layers(flatbuffer, expected) or ["one or more"]
        raise DeployError(
            f"Larq Compute Engine leaves binary convolutions in float32: {', '.join(left)}. With "
            "allow_float=True (--allow-float) the model is written all the same."
        )
    return flatbuffer


def to_tflite(model: tf.keras.Model) -> bytes:
    """The model as a plain float `.tflite`, one image at a time, for comparison."""
    check_exportable(model)
    import tensorflow as tf

    from zoo.deploy._lce_layers import inference_module

    module = inference_module(model, mirrored=False)
    return tf.lite.TFLiteConverter.from_concrete_functions([module.infer], module).convert()


def count_binary_convolutions(flatbuffer: bytes) -> int:
    """How many operations of a `.tflite` are binary convolutions."""
    return sum(name == OPERATION for name, _ in _operations(flatbuffer))


def _float_layers(flatbuffer: bytes, expected: Sequence[Any]) -> list[str]:
    """Names of the layers of `expected` that a float convolution of the flatbuffer computes."""
    convolutions = [names for name, names in _operations(flatbuffer) if name == "CONV_2D"]
    return [
        layer.name
        for layer in expected
        if any(f"{layer.name}/" in name for names in convolutions for name in names)
    ]


def _operations(flatbuffer: bytes) -> list[tuple[str, list[str]]]:
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
