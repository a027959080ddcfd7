"""Exports turn a sigmoid into exactly 1 where Keras does: there a sign of SD-BNN's gates turns."""

import numpy as np
import pytest
import tensorflow as tf
from chains import chain, compare, in_lce, in_openvino, in_tflite

from zoo.deploy import to_onnx


def in_onnx(model, batch):
    import onnxruntime

    session = onnxruntime.InferenceSession(to_onnx(model), providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: batch})[0]


@pytest.mark.parametrize("run", [in_openvino, in_tflite, in_lce, in_onnx])
@pytest.mark.parametrize("function", ["sigmoid", tf.nn.sigmoid], ids=["Keras", "TensorFlow"])
def test_it_is_one_where_keras_says_so(run, function):
    model = chain(tf.keras.layers.Activation(function))
    batch = np.linspace(15, 19, 8 * 8 * 16, dtype=np.float32).reshape(1, 8, 8, 16)
    expected = model(batch).numpy() == 1
    assert 0.3 < expected.mean() < 0.7
    # Correct rounding would give 1 from 17.33, 175 values later than Keras.
    assert ((run(model, batch) == 1) != expected).sum() <= 2


def test_the_model_stays_as_it_is():
    """Also a method that the user replaced on one of its layers."""
    gate, scale = tf.keras.layers.Activation("sigmoid"), tf.keras.layers.ReLU()
    scale.call = lambda x: 3 * x
    model = chain(gate, scale)
    compare(in_tflite, model)
    assert gate.activation is tf.keras.activations.sigmoid
