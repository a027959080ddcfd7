"""Export Keras models to ONNX files, which many engines read.

ONNX has no 1-bit type and no binary convolution: kernels are stored as float32 with two values
for each filter, and activations are signs in float32. The file computes the same network, but it is
neither smaller nor faster than a float network. For small and fast networks, use `to_c`,
`to_openvino` or `to_lce`.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from zoo.deploy._check import check_export, random_inputs
from zoo.deploy.walk import Call, check_exportable, explicit_sigmoids, in_float32
from zoo.errors import DeployError, ZooError
from zoo.extras import require
from zoo.quiet import quiet_errors

if TYPE_CHECKING:
    import tensorflow as tf

OPSET = 17  # from 2022; all current engines read it
BATCH = "batch"


def to_onnx(model: tf.keras.Model, metadata: Mapping[str, str] | None = None) -> bytes:
    """Convert the model to an ONNX file, for batches of any size.

    Inputs and outputs have Keras's names and order: images (batch, h, w, c), float32. ONNX Runtime
    compares the file with the Keras model on a random image before it is returned.

    Args:
        model: a built functional model for one image size.
        metadata: texts to store in the file, by name, such as the names of the classes.

    Raises:
        DeployError: a layer cannot be expressed in ONNX, a size is not fixed, the outputs differ
            from Keras's, or the extra `onnx` is not installed.
    """
    return checked_onnx(model, metadata)[0]


def checked_onnx(
    model: tf.keras.Model, metadata: Mapping[str, str] | None = None
) -> tuple[bytes, float]:
    """Call `to_onnx`; also return how much the result differs from Keras (relative L2)."""
    check_exportable(model)
    require("onnx", "--format onnx")
    model = in_float32(model)
    import onnxruntime

    from zoo.deploy._signs import takes_signs  # imports TensorFlow

    with _one_sentence(model):
        with explicit_sigmoids(model):
            content = _converted(model, metadata or {})
        session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
        images = random_inputs(model)
        feed = {each.name: image for each, image in zip(session.get_inputs(), images, strict=True)}
        found = session.run(None, feed)

    def alone(call: Call, inputs: list[np.ndarray]) -> list[np.ndarray]:
        return [np.asarray(each) for each in call.compute(inputs)]  # TensorFlow's code was traced

    return content, check_export(model, images, found, alone, takes_signs(model))


def _converted(model: tf.keras.Model, metadata: Mapping[str, str]) -> bytes:
    """Convert the model's graph with tf2onnx, with Keras's names of inputs and outputs."""
    import onnx
    import tensorflow as tf
    import tf2onnx

    signature = [
        tf.TensorSpec([None, *image.shape[1:]], image.dtype, name=f"zoo_in{index}")
        for index, image in enumerate(model.inputs)
    ]

    def infer(*images: tf.Tensor) -> list[tf.Tensor]:
        outputs = tf.nest.flatten(model(list(images), training=False))
        # An identity each: a tensor may be an output twice, or also be an input.
        return [tf.identity(each, f"zoo_out{index}") for index, each in enumerate(outputs)]

    function = tf.function(infer, input_signature=signature, autograph=False)
    proto, _ = tf2onnx.convert.from_function(function, input_signature=signature, opset=OPSET)
    graph = proto.graph
    names = dict(zip((each.name for each in graph.input), model.input_names, strict=True))
    outputs = _unique(model.output_names, taken=model.input_names)
    names |= dict(zip((each.name for each in graph.output), outputs, strict=True))
    inner = {name for node in graph.node for name in node.output} - set(names)
    names |= {name: f"{name}_" for name in inner & set(names.values())}
    for node in graph.node:
        for ends in (node.input, node.output):
            ends[:] = [names.get(name, name) for name in ends]
    for value in (*graph.input, *graph.output):
        value.name = names[value.name]
        value.type.tensor_type.shape.dim[0].dim_param = BATCH
    graph.ClearField("value_info")
    graph.name = model.name
    onnx.helper.set_model_props(proto, dict(metadata))
    onnx.checker.check_model(proto)
    return proto.SerializeToString()


def _unique(names: list[str], taken: list[str]) -> list[str]:
    """Return unique names: an output may also be an input, or may occur twice."""
    seen = set(taken)
    found = []
    for name in names:
        while name in seen:
            name += "_"
        seen.add(name)
        found.append(name)
    return found


@contextlib.contextmanager
def _one_sentence(model: tf.keras.Model) -> Iterator[None]:
    """Turn errors of the converter or the runtime into a DeployError; print nothing."""
    logging.getLogger("tf2onnx").setLevel(logging.CRITICAL)
    try:
        with quiet_errors():
            yield
    except ZooError:
        raise
    except Exception as error:  # errors of C++ and Python have many classes
        reason: Any = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
        raise DeployError(f"ONNX cannot hold or run '{model.name}': {reason}.") from error
