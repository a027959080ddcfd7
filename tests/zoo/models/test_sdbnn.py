"""Special parts of SD-BNN: alpha belongs to the kernel, and VGG flattens channels first."""

import larq as lq
import numpy as np
import pytest
import tensorflow as tf
from case import build, images, one_bit_layers, randomize, signed_layers

import zoo


@pytest.mark.parametrize("name", ["SDBNNResNet20", "SDBNNResNet18", "SDBNNVGGSmall"])
def test_alpha_is_a_weight_of_its_convolution(name, tmp_path):
    model = randomize(build(name))
    convolutions = signed_layers(model)
    path = str(tmp_path / "model.keras")
    if name == "SDBNNVGGSmall":
        model.save(path)
        again = zoo.load_model(path)
    for layer in convolutions:
        alpha = layer.kernel_quantizer.alpha
        assert alpha.shape == (layer.filters,) and any(alpha is w for w in layer.trainable_weights)
        counted = lq.models.LayerProfile(layer)
        assert counted.weight_count(1) == np.prod(layer.kernel.shape)
        assert counted.weight_count(32) == layer.filters
        assert counted.op_count("mac", 32) == 0  # alpha needs no operations at inference
        if name == "SDBNNVGGSmall":
            loaded = again.get_layer(layer.name).kernel_quantizer.alpha
            np.testing.assert_array_equal(loaded.numpy(), alpha.numpy())
            assert np.any(alpha.numpy())
    assert one_bit_layers(model) == {layer.name for layer in convolutions}


def test_alpha_moves_signs():
    layer = signed_layers(build("SDBNNVGGSmall"))[0]
    rng = np.random.default_rng(0)
    kernel = rng.normal(-0.5, 0.5, layer.kernel.shape).astype("float32")
    kernel[0, 0, 0] = 0.003 * np.sign(rng.standard_normal(layer.filters))  # near the threshold
    layer.kernel.latent_variable.assign(kernel)
    quantised = []
    for alpha, share in ((-50.0, 0.0), (50.0, 0.01)):
        layer.kernel_quantizer.alpha.assign(tf.fill([layer.filters], alpha))
        with lq.context.quantized_scope(True):
            quantised.append(tf.convert_to_tensor(layer.kernel).numpy())
        expected = np.where(kernel + share * kernel.mean(axis=(0, 1, 2)) >= 0, 1, -1)
        np.testing.assert_array_equal(quantised[-1], expected)
    assert np.any(quantised[0] != quantised[1])


def test_vgg_flattens_channel_by_channel():
    model = randomize(build("SDBNNVGGSmall", classifier_activation=None))
    features = tf.keras.Model(model.input, model.get_layer("hardtanh5").output)
    x = images(model)
    maps = features(x).numpy().transpose(0, 3, 1, 2)
    assert maps.shape[1:] == (512, 4, 4)
    kernel, bias = (weight.numpy() for weight in model.get_layer("fc").weights)
    by_hand = maps.reshape(2, -1) @ kernel + bias
    np.testing.assert_allclose(model(x), by_hand, rtol=1e-4, atol=1e-4)
