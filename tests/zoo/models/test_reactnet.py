"""Special parts of ReActNet: the real widening of B and C, width, stem and the two gradients."""

import numpy as np
import pytest
import tensorflow as tf
from case import build, images, randomize, raw

from zoo.weights import load_torch_state, torch_state


@pytest.mark.parametrize(("name", "groups"), [("ReActNetB", 4), ("ReActNetC", 1)])
def test_widening_is_real_and_grouped(name, groups):
    model = randomize(build(name, width=0.25))
    widening = [each for each in model.layers if ".pw_down" in each.name]
    assert len(widening) == 10 and {each.groups for each in widening} == {groups}
    layer = widening[-1]
    assert layer.input_quantizer is None is layer.kernel_quantizer
    inputs, outputs = layer.input_shape[-1], layer.filters
    assert layer.kernel.shape == (1, 1, inputs // groups, outputs)
    x = np.random.default_rng(0).standard_normal((2, 3, 3, inputs)).astype("float32")
    kernel = layer.kernel.numpy()[0, 0]
    by_hand = [
        part @ block
        for part, block in zip(
            np.split(x, groups, axis=-1), np.split(kernel, groups, axis=-1), strict=True
        )
    ]
    np.testing.assert_allclose(layer(x), np.concatenate(by_hand, axis=-1), rtol=1e-4, atol=1e-5)


def test_width_and_stem_strides():
    model = build("ReActNetA", width=0.25, stem_strides=1, include_top=False)
    assert model.output_shape == (None, 2, 2, 256)  # 32x32 halved four times
    assert model.get_layer("feature.0.conv1").filters == 8
    assert build("ReActNetA", width=0.25, include_top=False).output_shape == (None, 1, 1, 256)


def test_stage_1_carries_over_to_stage_2_in_spite_of_its_key_names():
    first = randomize(build("ReActNetA", width=0.25, binary_weights=False))
    second = build("ReActNetA", width=0.25)
    state = torch_state(first)
    assert "feature.1.binary_3x3.weight" in state
    assert "feature.1.binary_3x3.weights" in torch_state(second)
    load_torch_state(second, state)
    for ours, theirs in zip(second.weights, first.weights, strict=True):
        np.testing.assert_array_equal(raw(ours).numpy(), theirs.numpy())


@pytest.mark.parametrize("name", ["ReActNet20", "BiRealNet20"])
def test_magnitude_aware_gradient_is_the_codes_times_the_scale(name):
    gradients = []
    for aware in (False, True):
        model = randomize(build(name, magnitude_aware_gradient=aware))
        kernel = raw(model.get_layer("layer3.2.conv2").kernel)
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(model(images(model))[:, 0])
        gradients.append(tape.gradient(loss, kernel).numpy())
    scale = np.abs(kernel.numpy()).mean(axis=(0, 1, 2))
    np.testing.assert_allclose(gradients[1], gradients[0] * scale, rtol=1e-4, atol=1e-9)
