"""Flatbuffers in the interpreters of Larq Compute Engine and TensorFlow Lite."""

import larq as lq
import numpy as np
import pytest
import tensorflow as tf
from case import ROWS, images
from larq_compute_engine.tflite.python.interpreter import Interpreter
from networks import QUICK, beginning, binary_names, quick_network, relative, turned

from zoo.deploy import count_binary_convolutions, to_lce
from zoo.deploy.lce.export import to_tflite
from zoo.errors import DeployError
from zoo.layers import SymmetricConv2D

ROUNDING = 1e-5  # relative L2 difference if no sign differs


@pytest.mark.parametrize("name", [name for name in QUICK if ROWS[name].binary_macs])
def test_networks(name):
    """Return only the first blocks of the models: conversion time grows with the graph."""
    model = beginning(turned(quick_network(name)), 3)
    assert len(binary_names(model)) >= 3
    flatbuffer = to_lce(model)
    assert count_binary_convolutions(flatbuffer) == len(binary_names(model))
    batch = images(model, 2)
    assert relative(Interpreter(flatbuffer).predict(batch), model(batch)) < ROUNDING


def chain(image, *layers):
    inputs = outputs = tf.keras.Input(image)
    for layer in layers:
        outputs = layer(outputs)
    return tf.keras.Model(inputs, outputs)


def binary(filters, size, cls=SymmetricConv2D, **options):
    return cls(
        filters,
        size,
        input_quantizer="ste_sign",
        kernel_quantizer="ste_sign",
        kernel_initializer="random_normal",
        **options,
    )


def test_symmetric_padding_is_exact():
    """All sizes in one flatbuffer, because the start of the converter takes most of the time."""
    inputs = [tf.keras.Input(image) for image in ((9, 7, 32), (8, 6, 32))]
    cases = [(size, strides) for size in (1, 3, 5) for strides in (1, 2)]
    outputs = [
        binary(8, size, strides=strides, name=f"conv{index}_{size}_{strides}")(image)
        for index, image in enumerate(inputs)
        for size, strides in cases
    ]
    outputs = tf.keras.layers.Concatenate()([tf.keras.layers.Flatten()(each) for each in outputs])
    model = tf.keras.Model(inputs, outputs)
    flatbuffer = to_lce(model)
    assert count_binary_convolutions(flatbuffer) == 2 * len(cases)
    batch = [np.random.default_rng(0).normal(size=(1, *each.shape[1:])) for each in inputs]
    batch = [each.astype(np.float32) for each in batch]
    interpreter = Interpreter(flatbuffer)
    by_shape = {tuple(each.shape[1:]): each for each in batch}
    ordered = [by_shape[tuple(shape[1:])] for shape in interpreter.input_shapes]
    assert np.array_equal(interpreter.predict(ordered), model(batch))


@pytest.fixture
def beyond():
    """Two binary convolutions, the second of an image that is smaller than the kernel."""
    norm = tf.keras.layers.BatchNormalization(beta_initializer="random_normal")
    return chain((4, 4, 32), binary(32, 3, strides=2), norm, binary(8, 3, name="of_two_pixels"))


def test_a_convolution_that_stays_float_is_named(beyond):
    with pytest.raises(
        DeployError, match=r"in float32: of_two_pixels\. .*allow_float=True"
    ) as error:
        to_lce(beyond)
    assert "\n" not in str(error.value)


def test_unless_told_otherwise(beyond):
    flatbuffer = to_lce(beyond, allow_float=True)
    assert count_binary_convolutions(flatbuffer) == 1
    batch = images(beyond, 1)
    assert relative(Interpreter(flatbuffer).predict(batch), beyond(batch)) < ROUNDING


def test_larqs_own_convolution():
    model = chain(
        (8, 8, 32),
        binary(32, 3, lq.layers.QuantConv2D, padding="same", pad_values=1.0),
        tf.keras.layers.BatchNormalization(beta_initializer="random_normal"),
        binary(32, 3, lq.layers.QuantConv2D, padding="same", strides=2),
    )
    flatbuffer = to_lce(model)
    assert count_binary_convolutions(flatbuffer) == 2
    batch = images(model, 2)
    assert relative(Interpreter(flatbuffer).predict(batch), model(batch)) < ROUNDING


def test_plain_flatbuffer_runs_in_tensorflow_lite():
    model = beginning(quick_network("SDBNNResNet20"), 3)
    content = to_tflite(model)
    assert count_binary_convolutions(content) == 0
    interpreter = tf.lite.Interpreter(model_content=content)
    interpreter.allocate_tensors()
    batch = images(model, 1)
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], batch)
    interpreter.invoke()
    found = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    assert relative(found, model(batch, training=False)) < ROUNDING
