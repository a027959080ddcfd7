"""Export Keras models to Larq Compute Engine, which has binary kernels for 64-bit ARM.

The converter turns a convolution of signs into an `LceBconv2d`, but only if its zero padding is
TensorFlow's "same"; otherwise it silently leaves a float convolution. At stride 2, PyTorch's
symmetric padding pads before the first pixel, but "same" pads behind the last. So we mirror such a
convolution: with image and kernel mirrored, the padding is equal to "same", and the result is
mirrored back. This is exact and needs no memory.

If a padded image is smaller than the kernel, the runtime's `LceBconv2d` silently gives wrong sums.
Such a convolution stays in float32, which `allow_float` must allow.
"""

from __future__ import annotations

import contextlib
import re
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from zoo.deploy.lce.flatbuffer import arranged, operations
from zoo.deploy.walk import Call, check_exportable, in_float32
from zoo.errors import DeployError, ZooError
from zoo.extras import module_of
from zoo.quiet import quiet_errors

if TYPE_CHECKING:
    import tensorflow as tf

OPERATION = "LceBconv2d"


def to_lce(model: tf.keras.Model, *, allow_float: bool = False) -> bytes:
    """Convert a functional Keras model, one image at a time.

    Every convolution with signs as input and kernel becomes an `LceBconv2d`; their number is
    checked.

    Args:
        model: a built functional model for one image size.
        allow_float: keep a binary convolution in float32 if it cannot be converted.

    The file is compared with the Keras model on a random image before it is returned.

    Returns:
        The contents of a `.tflite` file for Larq Compute Engine's interpreter. Inputs and outputs
        have the model's order, and Keras's names in the signature.

    Raises:
        DeployError: a binary convolution could not be converted (all are named), a size is not
            fixed, the outputs differ from Keras, or Larq Compute Engine is not installed.
    """
    return checked_lce(model, allow_float=allow_float)[0]


def checked_lce(model: tf.keras.Model, *, allow_float: bool = False) -> tuple[bytes, float]:
    """Call `to_lce`; also return how much the result differs from Keras (relative L2)."""
    check_exportable(model)
    model = in_float32(model)
    lce = module_of("lce", "This format")
    import tensorflow as tf

    from zoo.deploy.lce._layers import binary_layers, inference_module

    with tempfile.TemporaryDirectory() as folder:
        module = inference_module(model, mirrored=True)
        tf.saved_model.save(module, folder, signatures=module.infer)
        with _one_sentence("Larq Compute Engine", model):
            flatbuffer = lce.convert_saved_model(folder)
    flatbuffer = arranged(flatbuffer, model.input_names, model.output_names)
    expected = binary_layers(model)
    if not allow_float and count_binary_convolutions(flatbuffer) < len(expected):
        left = _float_layers(flatbuffer, expected) or ["one or more"]
        raise DeployError(
            f"Larq Compute Engine leaves binary convolutions in float32: {', '.join(left)}. With "
            "allow_float=True (--allow-float) the model is written with them."
        )
    from larq_compute_engine.tflite.python.interpreter import Interpreter

    def run(images: list[np.ndarray]) -> list[np.ndarray]:
        found = Interpreter(flatbuffer).predict(images if len(images) > 1 else images[0])
        return found if isinstance(found, list) else [found]

    with _one_sentence("Larq Compute Engine", model):
        return flatbuffer, _difference(model, run, mirrored=True)


def to_tflite(model: tf.keras.Model) -> bytes:
    """Convert the model to a plain float `.tflite`, one image at a time, for comparison.

    Inputs and outputs have the model's order, and Keras's names in the signature. The file is
    compared with the Keras model on a random image before it is returned.

    Raises:
        DeployError: a size is not fixed, or the outputs differ from Keras.
    """
    return checked_tflite(model)[0]


def checked_tflite(model: tf.keras.Model) -> tuple[bytes, float]:
    """Call `to_tflite`; also return how much the result differs from Keras (relative L2)."""
    check_exportable(model)
    model = in_float32(model)
    import tensorflow as tf

    from zoo.deploy.lce._layers import inference_module

    with tempfile.TemporaryDirectory() as folder:
        module = inference_module(model, mirrored=False)
        tf.saved_model.save(module, folder, signatures=module.infer)
        with _one_sentence("TensorFlow Lite", model):
            flatbuffer = tf.lite.TFLiteConverter.from_saved_model(folder).convert()
    flatbuffer = arranged(flatbuffer, model.input_names, model.output_names)

    def run(images: list[np.ndarray]) -> list[np.ndarray]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # it recommends a successor
            interpreter = tf.lite.Interpreter(model_content=flatbuffer)
        interpreter.allocate_tensors()
        for detail, image in zip(interpreter.get_input_details(), images, strict=True):
            interpreter.set_tensor(detail["index"], image)
        interpreter.invoke()
        return [interpreter.get_tensor(d["index"]) for d in interpreter.get_output_details()]

    with _one_sentence("TensorFlow Lite", model):
        return flatbuffer, _difference(model, run, mirrored=False)


@contextlib.contextmanager
def _one_sentence(runtime: str, model: tf.keras.Model) -> Iterator[None]:
    """Turn errors of a converter or an interpreter into a DeployError; print nothing."""
    from zoo.deploy.lce._layers import layers_by_their_code

    try:
        with quiet_errors():
            yield
    except ZooError:
        raise
    except Exception as error:  # errors of C++ have many classes
        text = (str(error).strip() or type(error).__name__).splitlines()[0]
        reason = text.partition("<unknown>")[0].rstrip(". ")
        place = re.search(r'fused\["(\w+):", "([^"@]+)', str(error))
        where = f" ({place[1]} in {place[2]})" if place else ""
        own = layers_by_their_code(model)
        hint = f" It may not know these layers: {', '.join(own)}." if own else ""
        raise DeployError(
            f"{runtime} cannot convert or run '{model.name}': {reason}{where}.{hint}"
        ) from error


def _difference(
    model: tf.keras.Model, run: Callable[[list[np.ndarray]], list[np.ndarray]], mirrored: bool
) -> float:
    """Return how much an export differs from Keras on a random image; DeployError if wrong."""
    from zoo.deploy._check import check_export, random_inputs
    from zoo.deploy._signs import takes_signs
    from zoo.deploy.lce._layers import computed

    def alone(call: Call, inputs: list[np.ndarray]) -> list[np.ndarray]:
        return [np.asarray(each) for each in computed(call, inputs, mirrored)]

    images = random_inputs(model)
    return check_export(model, images, run(images), alone, takes_signs(model))


def count_binary_convolutions(flatbuffer: bytes) -> int:
    """Return how many operations of a `.tflite` are binary convolutions."""
    return sum(name == OPERATION for name, _ in operations(flatbuffer))


def _float_layers(flatbuffer: bytes, expected: Sequence[Any]) -> list[str]:
    """Return the names of those layers in `expected` that became a float convolution."""
    from zoo.deploy.lce._layers import scope_of

    convolutions = [names for name, names in operations(flatbuffer) if name == "CONV_2D"]
    return [
        layer.name
        for layer in expected
        if any(f"{scope_of(layer.name)}/" in name for names in convolutions for name in names)
    ]
