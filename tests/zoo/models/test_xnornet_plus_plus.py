"""Special parts of XNOR-Net++: the four cases of the learned factor, and its folding."""

import numpy as np
import pytest
import tensorflow as tf
from case import build, images, randomize

from zoo.layers import LearnedScale


def size_of(case: str, h: int, w: int, o: int) -> int:
    return {"case1": o, "case2": o * h * w, "case3": o + h * w, "case4": o + h + w}[case]


@pytest.mark.parametrize("case", ["case1", "case2", "case3", "case4"])
def test_each_case_in_the_network(case):
    model = randomize(build("XNORNetPlusPlusResNet20", scale=case, input_shape=(32, 24, 3)))
    scales = [each for each in model.layers if isinstance(each, LearnedScale)]
    assert len(scales) == 18
    for scale in scales:
        _, h, w, o = scale.output_shape
        assert scale.count_params() == size_of(case, h, w, o)
        assert scale.folded().shape == ((o,) if case == "case1" else (h, w, o))
    # Inference multiplies by one tensor: the outer product computed by hand gives the same output.
    scale = scales[7]
    folded = np.float64((9 * scale.input_shape[-1]) ** -0.5)  # this scales a sum to variance 1
    for factor in scale.weights:
        folded = folded * factor.numpy()
    probe = tf.keras.Model(model.input, [scale.input, scale.output])
    before, after = probe(images(model))
    np.testing.assert_allclose(after, before * folded, rtol=1e-6)


@pytest.mark.parametrize("name", ["XNORNetPlusPlusResNet18", "XNORNetPlusPlusAlexNet"])
def test_latent_kernels_start_with_mixed_signs(name):
    """Kernels have no scale, so with equal signs all filters would be the same."""
    model = build(name)
    for layer in model.layers:
        if getattr(layer, "kernel_quantizer", None) is not None:
            positive = np.mean(layer.kernel.latent_variable.numpy() > 0)
            assert 0.4 < positive < 0.6, layer.name
            assert layer.kernel_constraint is not None, layer.name


def test_alexnet_takes_images_that_are_not_square():
    model = randomize(build("XNORNetPlusPlusAlexNet", input_shape=(99, 67, 3)))
    assert model.get_layer("fc6").kernel.shape[:2] == (2, 1)
    assert model.get_layer("fc6").output_shape == (None, 1, 1, 4096)
    assert np.isfinite(model(images(model))).all()


@pytest.mark.parametrize("case", ["case1", "case2", "case3", "case4"])
@pytest.mark.parametrize("name", ["XNORNetPlusPlusResNet20", "XNORNetPlusPlusAlexNet"])
def test_convolutions_start_with_variance_one(name, case):
    """Only the factor makes a sum of hundreds of signs as small as a shortcut."""
    model = build(name, scale=case)
    scales = [layer for layer in model.layers if isinstance(layer, LearnedScale)]
    outputs = tf.keras.Model(model.input, [scale.output for scale in scales])
    noise = np.random.default_rng(0).normal(size=(8, *model.input_shape[1:])).astype("float32")
    variances = [tf.math.reduce_variance(y).numpy() for y in outputs(noise, training=True)]
    assert min(variances) > 0.3 and max(variances) < 3


def test_real_kernels_start_small_enough_by_themselves():
    model = build("XNORNetPlusPlusResNet20", binary_weights=False)
    scales = [layer for layer in model.layers if isinstance(layer, LearnedScale)]
    assert {scale.initial for scale in scales} == {1.0}
