"""Chains of layers with random weights, and their exports, run on an image."""

import numpy as np
import tensorflow as tf

from zoo.deploy import compile_openvino, to_lce, to_openvino
from zoo.deploy.lce.export import to_tflite

SIGNS = {"input_quantizer": "ste_sign", "kernel_quantizer": "ste_sign"}


def chain(*layers, kind=tf.keras.Model, shape=(8, 8, 16)):
    """A functional model with random weights of both signs."""
    image = outputs = tf.keras.Input(shape, name="image input")
    for layer in layers:
        outputs = layer(outputs)
    model = kind(image, outputs)
    rng = np.random.default_rng(1)
    for weight in model.weights:
        values = rng.normal(size=weight.shape)
        weight.assign(np.abs(values) + 0.1 if "variance" in weight.name else values)
    return model


def in_openvino(model, batch):
    return compile_openvino(to_openvino(model))([batch])[0]


def in_tflite(model, batch):
    return run_flatbuffer(to_tflite(model), [batch])[0]


def in_lce(model, batch):
    from larq_compute_engine.tflite.python.interpreter import Interpreter

    return Interpreter(to_lce(model)).predict(batch)


def run_flatbuffer(content, batches):
    interpreter = tf.lite.Interpreter(model_content=content)
    interpreter.allocate_tensors()
    for detail, batch in zip(interpreter.get_input_details(), batches, strict=True):
        interpreter.set_tensor(detail["index"], batch)
    interpreter.invoke()
    return [interpreter.get_tensor(each["index"]) for each in interpreter.get_output_details()]


def compare(run, model):
    batch = np.random.default_rng(2).normal(size=(1, *model.input_shape[1:])).astype(np.float32)
    expected = model(batch, training=False).numpy()
    np.testing.assert_allclose(run(model, batch), expected, rtol=1e-4, atol=1e-4)
