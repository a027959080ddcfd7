"""ONNX files in ONNX Runtime, compared with Keras."""

import larq as lq
import numpy as np
import onnx
import onnxruntime
import pytest
import tensorflow as tf

from zoo.deploy import to_onnx
from zoo.errors import DeployError
from zoo.layers import RPReLU, SymmetricConv2D

keras = tf.keras.layers
SIGNS = {"input_quantizer": "ste_sign", "kernel_quantizer": "ste_sign"}


class Raised(RPReLU):
    def call(self, inputs):
        return super().call(inputs) + 5


def run(content: bytes, images: list[np.ndarray]) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_inputs()]
    return session.run(None, dict(zip(names, images, strict=True)))


def binary(shape=(8, 8, 16)) -> tf.keras.Model:
    image = tf.keras.Input(shape, name="image input")
    y = SymmetricConv2D(8, 3, strides=2, **SIGNS)(image)
    y = Raised()(keras.BatchNormalization()(y))
    y = lq.layers.QuantDense(4, **SIGNS)(keras.Flatten()(y))
    model = tf.keras.Model(image, keras.Softmax()(y), name="small")
    rng = np.random.default_rng(1)
    for weight in model.weights:
        values = rng.normal(size=weight.shape)
        weight.assign(np.abs(values) + 0.1 if "variance" in weight.name else values)
    return model


def test_batches_of_any_size_names_and_notes():
    model = binary()
    content = to_onnx(model, {"classes": '["ant", "bee", "cat", "dog"]'})
    for count in (1, 5):
        images = np.random.default_rng(count).normal(size=(count, 8, 8, 16)).astype(np.float32)
        found = run(content, [images])[0]
        np.testing.assert_allclose(found, model(images), rtol=1e-5, atol=1e-6)
    file = onnx.load_model_from_string(content)
    assert {each.key: each.value for each in file.metadata_props} == {
        "classes": '["ant", "bee", "cat", "dog"]'
    }
    assert [each.name for each in file.graph.input] == ["image input"]
    assert file.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"
    # The exported kernel has signs with batch norm folded in: two values for each filter.
    arrays = map(onnx.numpy_helper.to_array, file.graph.initializer)
    [kernel] = [each for each in arrays if each.shape == (8, 16, 3, 3)]
    magnitudes = np.abs(kernel.reshape(8, -1))
    np.testing.assert_allclose(magnitudes, np.tile(magnitudes[:, :1], 144), rtol=1e-6)


def test_order_of_inputs_and_outputs():
    b, a = tf.keras.Input((4, 4, 3), name="b"), tf.keras.Input((4, 4, 3), name="a")
    outputs = [
        keras.Dense(2, name=f"out{20 - i}")(keras.Flatten()(b if i % 2 else a)) for i in range(12)
    ]
    model = tf.keras.Model([b, a], [*outputs, b, outputs[0]])
    draws = np.random.default_rng(3)
    images = [draws.normal(size=(2, 4, 4, 3)).astype(np.float32) for _ in range(2)]
    for found, expected in zip(run(to_onnx(model), images), model(images), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_what_onnx_cannot_hold_is_one_sentence():
    image = tf.keras.Input((4, 4, 3))
    model = tf.keras.Model(image, tf.math.bessel_i0(image), name="odd")
    with pytest.raises(DeployError, match=r"^ONNX cannot hold or run 'odd': .*\.$") as error:
        to_onnx(model)
    assert "\n" not in str(error.value)
