"""Exported models in OpenVINO: each convolution and the outputs, compared with Keras."""

import warnings

import larq as lq
import numpy as np
import openvino as ov
import pytest
import tensorflow as tf
from case import images, randomize
from networks import (
    QUICK,
    binary_names,
    binary_nodes,
    compared_sums,
    names_of,
    quick_network,
    relative,
    turned,
)

import zoo
from training.data.preprocessing import PadCropFlip
from zoo.deploy import check_compiled, compile_openvino, save_openvino, to_openvino
from zoo.deploy.cpu import without_avx2
from zoo.errors import DeployWarning
from zoo.layers import BatchNorm, LeakyClip, LearnableShift, LearnedScale, RPReLU, SymmetricConv2D

ROUNDING = 1e-5  # relative L2 difference if no sign differs


def computed(model, batch, **options):
    """Return OpenVINO's outputs for a batch."""
    return compile_openvino(to_openvino(model, len(batch), **options))([batch])[0]


@pytest.mark.parametrize("name", QUICK, scope="class")
class TestNetworks:
    """The smallest networks of each paper, with half of the batch norm factors negative."""

    @pytest.fixture(scope="class")
    def model(self, name):
        return turned(quick_network(name))

    @pytest.fixture(scope="class")
    def batch(self, model):
        return images(model, 2)

    def test_every_binary_convolution_is_one(self, model):
        names = [name for node in binary_nodes(to_openvino(model)) for name in names_of(node)]
        assert sorted(names) == sorted(binary_names(model))
        assert bool(names) == (zoo.profile(model).binary_macs > 0)

    def test_sums_are_the_very_same(self, model, batch):
        for sums in compared_sums(model, batch):
            assert np.array_equal(sums.ours, sums.theirs), sums.name
            assert (np.abs(sums.ours) >= 1).any()
            assert sums.other_signs == 0 or sums.margin < 1e-5, sums.name

    def test_outputs(self, model, batch):
        expected = model(batch, training=False)
        assert relative(computed(model, batch), expected) < ROUNDING
        assert relative(computed(model, batch, binary=False), expected) < ROUNDING

    @pytest.mark.skipif(bool(without_avx2()), reason=without_avx2() or "")
    def test_binary_kernels_are_taken(self, model):
        converted = to_openvino(model)
        found = check_compiled(compile_openvino(converted), strict=True)
        assert found == len(binary_nodes(converted))

    def test_files_are_read_by_openvino(self, model, batch, tmp_path):
        converted = to_openvino(model, 2)
        graph, weights = save_openvino(converted, tmp_path / "new" / "folder")
        read = ov.Core().read_model(graph)
        settings = {"INFERENCE_PRECISION_HINT": "f32"}
        loaded = ov.Core().compile_model(read, "CPU", settings)([batch])[0]
        assert np.array_equal(loaded, compile_openvino(converted)([batch])[0])
        # One bit per weight: the other parts of the file are not larger than the other weights.
        one_bit = sum(np.size(model.get_layer(n).kernel) for n in binary_names(model)) / 8
        rest = zoo.profile(model).memory_bytes - one_bit
        assert weights.stat().st_size <= one_bit + 1.5 * rest + 8 * len(model.layers)


def network(image, *layers):
    """A chain of layers with random weights of both signs."""
    inputs = outputs = tf.keras.Input(image)
    for layer in layers:
        outputs = layer(outputs)
    model = tf.keras.Model(inputs, outputs)
    rng = np.random.default_rng(5)
    for weight in model.weights:
        raw = getattr(weight, "latent_variable", weight)
        values = rng.normal(size=raw.shape)
        raw.assign(np.abs(values) + 0.1 if "variance" in raw.name else values)
    return model


def binary(filters=8, size=3, cls=SymmetricConv2D, **options):
    signs = {"input_quantizer": "ste_sign", "kernel_quantizer": "ste_sign"}
    return cls(filters, size, **signs, **options)


def exactly_equal(model, count=2):
    batch = images(model, count)
    return np.array_equal(computed(model, batch), model(batch, training=False))


@pytest.mark.parametrize("strides", [1, 2])
@pytest.mark.parametrize("image", [(9, 7, 16), (8, 6, 16), (4, 3, 16)])
@pytest.mark.parametrize("size", [1, 3, 5])
def test_symmetric_padding(image, size, strides):
    assert exactly_equal(network(image, binary(8, size, strides=strides)))


@pytest.mark.parametrize("channels", [2, 4, 8, 12, 16, 24, 72])
@pytest.mark.parametrize("filters", [1, 8, 11])
def test_numbers_of_channels(channels, filters):
    # OpenVINO's kernels read whole bytes: the unused bits must not count, also at borders.
    assert exactly_equal(network((5, 6, channels), binary(filters)))


@pytest.mark.parametrize(
    "options",
    [
        {"padding": "valid"},
        {"padding": "valid", "strides": 2},
        {"padding": "valid", "dilation_rate": 2},
        {"padding": "same"},
        {"padding": "same", "strides": 2},
        {"padding": "same", "dilation_rate": 2},
        {"padding": "same", "pad_values": 1.0},
        {"padding": "same", "pad_values": 1.0, "strides": 2},
    ],
    ids=str,
)
@pytest.mark.parametrize("channels", [12, 16])
def test_larqs_own_convolution(channels, options):
    layer = binary(8, 3, lq.layers.QuantConv2D, use_bias=False, **options)
    assert exactly_equal(network((8, 9, channels), layer))


def test_what_stands_after_a_binary_convolution_is_fused_rightly():
    # The plugin computes the rest in the same kernel; here the filters do not fill a register.
    scale, norm, prelu = LearnedScale("case1"), BatchNorm(), RPReLU()
    model = network((6, 6, 20), binary(14), scale, norm, prelu, binary(11), BatchNorm())
    batch = images(model, 3)
    assert relative(computed(model, batch), model(batch, training=False)) < ROUNDING


def test_a_sign_is_plus_one_from_zero_on():
    shift = LearnableShift()
    model = network((4, 4, 8), shift, binary(8, 1))
    borders = np.linspace(-2, 2, 8).astype(np.float32)
    shift.shift.assign(-borders)
    around = [borders, np.nextafter(borders, -9, dtype=np.float32), -borders, 0 * borders]
    batch = np.stack([np.tile(each, (4, 4, 1)) for each in around])
    assert np.array_equal(computed(model, batch), model(batch))


def test_a_zero_of_either_sign_is_plus_one():
    model = network((1, 2, 8), binary(8, 1))
    batch = np.zeros((1, 1, 2, 8), np.float32)
    batch[:, :, 1] = -0.0
    assert np.array_equal(computed(model, batch), model(batch))


def test_channels_without_a_factor():
    norm = BatchNorm()
    model = network((4, 4, 8), norm, binary())
    norm.gamma.assign([0.0, 0, 1, -1, 0, 1, -1, 1])
    norm.beta.assign([1.0, -1, 0, 0, 0, 1, 1, -1])
    assert exactly_equal(model)


@pytest.mark.parametrize("case", LearnedScale.CASES)
def test_learned_factors(case):
    model = network((6, 5, 8), binary(), LearnedScale(case), binary(16, 3, strides=2))
    assert exactly_equal(model)


def test_real_layers_around():
    conv = SymmetricConv2D(8, 3, strides=2, groups=2)
    pool = tf.keras.layers.AveragePooling2D(2, padding="same")
    dense = tf.keras.layers.Dense(5, activation="softmax")
    layers = [conv, BatchNorm(), LeakyClip(0.1), pool, tf.keras.layers.Flatten(), dense]
    model = network((15, 13, 4), *layers)
    batch = images(model)
    assert relative(computed(model, batch), model(batch, training=False)) < ROUNDING


def test_layers_that_change_shapes():
    """Reshape and Permute keep Keras's order of axes; products and sums of several maps."""
    layers = tf.keras.layers
    x = tf.keras.Input((6, 4, 8))
    y = layers.Reshape((4, 6, 8))(layers.PReLU(shared_axes=(1, 2))(x))
    y = layers.Permute((2, 1, 3))(y)
    y = layers.Multiply()([x, y, layers.Conv2D(1, 1)(x)])
    y = layers.Softmax()(layers.Concatenate()([y, x]))
    model = randomize(tf.keras.Model(x, y))
    batch = images(model)
    assert relative(computed(model, batch), model(batch, training=False)) < ROUNDING


def test_a_model_inside_a_model():
    inner = network((6, 6, 8), binary(), BatchNorm())
    model = network((6, 6, 8), BatchNorm(), inner, binary())
    assert len(binary_nodes(to_openvino(model))) == 2
    assert exactly_equal(model)


def test_a_feature_map_comes_channels_last():
    model = randomize(zoo.ReActNet20(weights=None, input_shape=(32, 32, 3), include_top=False))
    batch = images(model)
    with warnings.catch_warnings():
        warnings.simplefilter("error", DeployWarning)  # memory is reordered only for the result
        found = computed(model, batch)
    assert found.shape == (2, 8, 8, 64)
    assert relative(found, model(batch, training=False)) < ROUNDING


def test_preprocessing_in_the_graph_is_the_zoos():
    model = zoo.RealResNet20(weights=None, width=0.25, classifier_activation=None)
    pixels = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3)).astype(np.uint8)
    converted = to_openvino(model, 2, preprocess=True)
    assert converted.input(0).element_type == ov.Type.u8
    assert list(converted.input(0).shape) == [2, 32, 32, 3]
    expected = model(PadCropFlip().normalise(tf.constant(pixels)), training=False)
    assert relative(compile_openvino(converted)([pixels])[0], expected) < ROUNDING


def test_names_of_inputs_and_outputs_are_keras_names():
    model = zoo.ReActNet20(weights=None)
    converted = to_openvino(model, 3)
    assert converted.input(0).get_any_name() == model.input_names[0]
    assert converted.output(0).get_any_name() == model.output_names[0]
    assert list(converted.output(0).shape) == [3, 10]
