"""Exports keep the order, names and values of several inputs and outputs, and 16-bit models."""

import numpy as np
import pytest
import tensorflow as tf
from chains import SIGNS, chain, in_lce, in_openvino, run_flatbuffer

from zoo.deploy import compile_openvino, to_lce, to_openvino
from zoo.deploy.lce.export import to_tflite
from zoo.errors import DeployError
from zoo.layers import (
    BatchNorm,
    SymmetricConv2D,
)

keras = tf.keras.layers


def many():
    """Two inputs and twelve outputs, not in the order of their names."""
    b, a = tf.keras.Input((4, 4, 3), name="b"), tf.keras.Input((4, 4, 3), name="a")
    outputs = [
        keras.Dense(2, name=f"out{20 - i}")(keras.Flatten()(b if i % 2 else a)) for i in range(12)
    ]
    model = tf.keras.Model([b, a], [*outputs, b, outputs[0]])
    draws = np.random.default_rng(3)
    return model, [draws.normal(size=(1, 4, 4, 3)).astype(np.float32) for _ in range(2)]


@pytest.mark.parametrize("convert", [to_tflite, to_lce])
def test_inputs_and_outputs_keep_their_order_and_names(convert):
    model, batches = many()
    expected = [each.numpy() for each in model(batches)]
    content = convert(model)
    for found, right in zip(run_flatbuffer(content, batches), expected, strict=True):
        np.testing.assert_allclose(found, right, rtol=1e-4, atol=1e-5)
    if convert is to_lce:
        from larq_compute_engine.tflite.python.interpreter import Interpreter

        for found, right in zip(Interpreter(content).predict(batches), expected, strict=True):
            np.testing.assert_allclose(found, right, rtol=1e-4, atol=1e-5)
    runner = tf.lite.Interpreter(model_content=content).get_signature_runner()
    named = runner(**dict(zip(model.input_names, batches, strict=True)))
    assert set(named) == set(model.output_names)
    for name, right in zip(model.output_names, expected, strict=True):
        np.testing.assert_allclose(named[name], right, rtol=1e-4, atol=1e-5)


def test_openvino_keeps_them_too():
    model, batches = many()
    compiled = compile_openvino(to_openvino(model))
    results = compiled(batches)
    for index, right in enumerate(model(batches)):
        np.testing.assert_allclose(results[index], right, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_models_of_16_bits_are_exported_in_32(policy):
    def make():
        conv, binary = keras.Conv2D(16, 3), SymmetricConv2D(8, 3, **SIGNS)
        return chain(conv, BatchNorm(), binary)

    tf.keras.mixed_precision.set_global_policy(policy)
    try:
        model = make()
    finally:
        tf.keras.mixed_precision.set_global_policy(None)
    assert model.output.dtype != tf.float32
    same = make()
    same.set_weights(model.get_weights())
    batch = np.random.default_rng(2).normal(size=(1, 8, 8, 16)).astype(np.float32)
    for run in (in_openvino, in_lce):
        np.testing.assert_array_equal(run(model, batch), same(batch))


def test_a_layer_that_cannot_be_made_anew_says_what_to_do():
    class Odd(keras.Layer):
        def call(self, inputs):
            return inputs

        def get_config(self):
            raise NotImplementedError("not described")

    with pytest.raises(DeployError, match=r"in 16 bits and cannot .*policy\('float32'\)\.$"):
        to_tflite(chain(Odd(dtype="mixed_float16")))
