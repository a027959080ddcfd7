"""Special parts of Bi-Real Net: the pretraining with a clip, and the real first 1x1 of the 50."""

import numpy as np
import pytest
import tensorflow as tf
from case import build, images, one_bit_layers, randomize, signed_layers

from zoo.layers import LeakyClip


@pytest.mark.parametrize("slope", [0.0, 0.1])
def test_pretraining_clips_instead_of_signing(slope):
    model = randomize(
        build("BiRealNet20", binary_activations=False, binary_weights=False, clip_slope=slope)
    )
    assert signed_layers(model) == [] and one_bit_layers(model) == set()
    clips = [each for each in model.layers if isinstance(each, LeakyClip)]
    assert len(clips) == 18 and {each.slope for each in clips} == {slope}
    clip = clips[5]
    probe = tf.keras.Model(model.input, [clip.input, clip.output])
    before, after = (tensor.numpy() for tensor in probe(images(model)))
    assert np.abs(before).max() > 1
    clipped = np.clip(before, -1, 1)
    np.testing.assert_allclose(after, clipped + slope * (before - clipped), rtol=1e-6)
    assert model.get_layer(clip.name.removesuffix(".clip")).input is clip.output


def test_the_pretrained_weights_fit_the_binary_net():
    first = randomize(build("BiRealNet20", binary_activations=False, binary_weights=False))
    second = build("BiRealNet20")
    second.set_weights(first.get_weights())
    assert second.output_shape == first.output_shape


def test_first_pointwise_convolution_of_50_is_real():
    model = build("BiRealNet50")
    first = model.get_layer("layers.0.conv1")
    assert first.input_quantizer is None is first.kernel_quantizer
    assert model.get_layer("layers.0.clip").slope == 0.1
    assert len(signed_layers(model)) == 3 * 16 - 1
