"""The shared tests of all models in the catalog; the files beside test single families."""

import contextlib
import os
from typing import Any

import larq as lq
import numpy as np
import pytest
import tensorflow as tf
from case import (
    ALL,
    CLASSES,
    DIFFERENT,
    EACH_BLOCK,
    KINDS_OF_LAYERS,
    ROWS,
    SUMMARIES,
    arguments_of,
    build,
    image_shape,
    images,
    is_binary,
    of_two_families,
    one_bit_layers,
    randomize,
    raw,
    signed_layers,
    summary_text,
)

import zoo
from tests.small_networks import small_networks
from zoo.layers import SymmetricConv2D

# BOPs, FLOPs and OPs as published; the figures of the ResNet-18s leave out the classifier.
PUBLISHED = {
    "ReActNetA": {"binary": 4.82e9, "float": 0.12e8, "ops": 0.87e8},
    "ReActNetB": {"binary": 4.69e9, "float": 0.44e8},
    "ReActNetC": {"binary": 4.69e9, "float": 1.40e8, "ops": 2.14e8},
    "ReActNet18": {"binary": 1.68e9, "float": 1.37e8, "ops": 1.63e8},
    "BiRealNet18": {"ops": 1.63e8},
}
WITHOUT_CLASSIFIER = {"ReActNet18", "BiRealNet18"}
UNIT = {"binary": 1e9, "float": 1e8, "ops": 1e8}
QUICK_OR_DEEP = [
    pytest.param(name, marks=[] if name in EACH_BLOCK else [pytest.mark.slow]) for name in ALL
]


@pytest.mark.parametrize("name", QUICK_OR_DEEP, scope="class")
class TestDefault:
    """The model that the public function builds, at the paper's image size."""

    @pytest.fixture(scope="class")
    def model(self, name):
        tf.keras.backend.reset_uids()
        return zoo.get_model(name, weights=None)

    def test_summary(self, name, model):
        text, file = summary_text(model), SUMMARIES / f"{name}.txt"
        if os.environ.get("ZOO_UPDATE") == "1":
            file.write_text(text, encoding="utf-8")
        assert text == file.read_text(encoding="utf-8")

    def test_catalog_holds_its_counts(self, name, model):
        counts, row = zoo.profile(model), ROWS[name]
        for column in ("params", "memory_bytes", "binary_macs", "float_macs", "ops"):
            assert getattr(row, column) == getattr(counts, column), column

    def test_published_costs(self, name, model):
        counts = zoo.profile(model)
        left_out = 0
        if name in WITHOUT_CLASSIFIER:
            left_out = int(np.prod(model.get_layer("fc").kernel.shape))
        ours = {
            "binary": counts.binary_macs,
            "float": counts.float_macs - left_out,
            "ops": counts.ops - left_out,
        }
        for kind, printed in PUBLISHED.get(name, {}).items():
            assert round(ours[kind] / UNIT[kind], 2) == pytest.approx(printed / UNIT[kind]), kind

    def test_one_bit_is_claimed_by_the_binary_convolutions_alone(self, name, model):
        binary = {layer.name for layer in signed_layers(model)}
        assert one_bit_layers(model) == binary
        assert bool(binary) == is_binary(name) == (zoo.profile(model).binary_macs > 0)
        for layer in model.layers:
            quantizer = getattr(layer, "kernel_quantizer", None)
            assert (getattr(quantizer, "precision", 32) == 1) == (layer.name in binary)
        for layer in signed_layers(model):
            kernel = layer.kernel
            assert (lq.models.LayerProfile(layer).op_count("mac", 1) or 0) > 0
            assert kernel.precision == 1 and layer.input_quantizer.precision == 1

    def test_first_and_last_layers_are_real(self, name, model):
        convolutions = [each for each in model.layers if isinstance(each, SymmetricConv2D)]
        assert convolutions[0].input_quantizer is None is convolutions[0].kernel_quantizer
        dense = [each for each in model.layers if type(each) is tf.keras.layers.Dense]
        assert dense[-1].units == (1000 if ROWS[name].dataset == "imagenet" else 10)
        assert not hasattr(dense[-1], "kernel_quantizer")


@pytest.mark.parametrize("name", QUICK_OR_DEEP, scope="class")
class TestSmall:
    """One small model with random weights serves all of these."""

    @pytest.fixture(scope="class")
    def model(self, name):
        with small_networks():
            return randomize(build(name))

    def test_probabilities(self, model):
        probabilities = model(images(model)).numpy()
        assert probabilities.shape == (2, CLASSES)
        np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
        assert np.abs(probabilities[0] - probabilities[1]).max() > 1e-3

    def test_binary_convolutions_multiply_signs_by_two_values(self, name, model, monkeypatch):
        seen: dict[str, tuple] = {}
        original = SymmetricConv2D.convolution_op

        def watched(self, inputs, kernel):
            outputs = original(self, inputs, kernel)
            if tf.executing_eagerly():
                with lq.context.quantized_scope(True):
                    used = tf.convert_to_tensor(kernel).numpy()
                seen[self.name] = (inputs.numpy(), used, outputs.numpy())
            return outputs

        monkeypatch.setattr(SymmetricConv2D, "convolution_op", watched)
        model(images(model))
        binary = signed_layers(model)
        assert bool(binary) == is_binary(name)
        for layer in binary:
            inputs, kernel, outputs = seen[layer.name]
            np.testing.assert_array_equal(np.unique(inputs), [-1, 1])
            filters = kernel.reshape(-1, kernel.shape[-1])
            assert all(len(np.unique(each)) == 2 for each in filters.T), layer.name
            np.testing.assert_allclose(filters.max(axis=0), -filters.min(axis=0), rtol=1e-6)
            # The border is 0: the result equals an unpadded convolution of the padded signs.
            height, width = (n // 2 if layer.padding == "same" else 0 for n in kernel.shape[:2])
            padded = np.pad(inputs, [(0, 0), (height, height), (width, width), (0, 0)])
            by_hand = tf.nn.conv2d(padded, kernel, layer.strides, "VALID")
            np.testing.assert_allclose(outputs, by_hand, rtol=1e-4, atol=1e-4)

    def test_every_weight_learns_and_statistics_move(self, name, model):
        x = images(model, batch=8)
        labels = tf.one_hot(np.arange(8) % CLASSES, CLASSES)
        statistics = [variable for variable in model.weights if "moving_" in variable.name]
        assert statistics
        for variable in statistics:  # after a batch norm they may already be exact
            variable.assign_add(tf.ones(variable.shape))
        before = {variable.name: variable.numpy() for variable in statistics}
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(
                tf.keras.losses.categorical_crossentropy(labels, model(x, training=True))
            )
        variables = [raw(variable) for variable in model.trainable_variables]
        for variable, gradient in zip(variables, tape.gradient(loss, variables), strict=True):
            assert gradient is not None, variable.name
            gradient = tf.convert_to_tensor(gradient).numpy()
            assert np.isfinite(gradient).all() and np.any(gradient), variable.name
        for variable in statistics:
            moved = np.abs(variable.numpy() - before[variable.name])
            assert np.isfinite(moved).all() and np.mean(moved > 1e-5) > 0.9, variable.name
        after = [variable.numpy() for variable in model.weights]
        model(x, training=False)
        for variable, value in zip(model.weights, after, strict=True):
            np.testing.assert_array_equal(variable.numpy(), value)


@pytest.mark.parametrize("name", [of_two_families(name) for name in DIFFERENT])
def test_without_binary_weights_no_kernel_is_one_bit(name):
    stage1 = build(name, binary_weights=False)
    assert one_bit_layers(stage1) == set()
    assert zoo.profile(stage1).binary_macs == 0
    for layer in stage1.layers:
        assert getattr(layer, "kernel_quantizer", None) is None
    assert bool(signed_layers(stage1)) == is_binary(name)


@contextlib.contextmanager
def policy(name: str):
    tf.keras.mixed_precision.set_global_policy(name)
    try:
        yield
    finally:
        tf.keras.mixed_precision.set_global_policy(None)  # the policy follows floatx again


@pytest.mark.parametrize(
    "kind", ["mixed_float16", pytest.param("mixed_bfloat16", marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("name", KINDS_OF_LAYERS)
def test_mixed_precision(name, kind):
    with policy(kind), small_networks():
        model = randomize(build(name))
    assert {variable.dtype for variable in map(raw, model.weights)} == {tf.float32}
    convolution = next(each for each in model.layers if isinstance(each, SymmetricConv2D))
    assert convolution.compute_dtype == kind.removeprefix("mixed_")
    x = images(model, batch=4)
    for training in (False, True):
        with tf.GradientTape() as tape:
            outputs = model(x, training=training)
            total = tf.reduce_sum(outputs[:, 0])
        assert outputs.dtype == tf.float32 and np.isfinite(outputs).all()
    gradients = tape.gradient(total, [raw(each) for each in model.trainable_variables])
    assert all(np.isfinite(tf.convert_to_tensor(gradient)).all() for gradient in gradients)


@pytest.fixture
def small():
    with small_networks():
        yield


@pytest.mark.parametrize("name", [of_two_families(name) for name in DIFFERENT])
@pytest.mark.usefixtures("small")
def test_other_uses(name):
    shape = image_shape(name, odd=True)
    features = build(name, include_top=False, input_shape=shape)
    assert features.output.shape.rank == 4
    assert features(images(features)).shape == (2, *features.output_shape[1:])

    # Without the softmax, the same weights give logits; on an odd image, after another layer.
    picture = tf.keras.Input(shape, name="picture")
    scaled = tf.keras.layers.Rescaling(0.5)(picture)
    whole = randomize(build(name, input_tensor=scaled))
    assert whole.input is picture or whole.inputs[0].name == picture.name
    logits = build(name, input_tensor=scaled, classifier_activation=None)
    logits.set_weights(whole.get_weights())
    x = images(whole)
    np.testing.assert_allclose(whole(x), tf.nn.softmax(logits(x)), rtol=1e-4, atol=1e-6)
    assert np.abs(logits(x).numpy().sum(axis=1) - 1).min() > 1e-3


def open_sizes(name: str) -> dict[str, Any]:
    return {"scale": "case1"} if "scale" in arguments_of(name) else {}


FIXED_SIZE = ("SDBNNVGGSmall", "XNORNetPlusPlusAlexNet")  # weights for every pixel


@pytest.mark.parametrize(
    "name", [of_two_families(name) for name in DIFFERENT if name not in FIXED_SIZE]
)
@pytest.mark.usefixtures("small")
def test_open_image_size(name):
    open_size = randomize(build(name, input_shape=(None, None, 3), **open_sizes(name)))
    fixed = build(name, input_shape=(37, 43, 3), **open_sizes(name))
    fixed.set_weights(open_size.get_weights())
    x = images(fixed)
    np.testing.assert_allclose(open_size(x), fixed(x), rtol=1e-5, atol=1e-6)
    assert open_size(images(fixed, size=(32, 32, 3))).shape == (2, CLASSES)
