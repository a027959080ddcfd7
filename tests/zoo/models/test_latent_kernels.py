"""Binary kernels: their start (near zero for ImageNet, random for small images) and training."""

import numpy as np
import pytest
import tensorflow as tf
from case import build, raw, signed_layers

from training.loop.optimizers import adam


def test_imagenet_networks_start_next_to_zero_with_one_sign():
    for layer in signed_layers(build("ReActNetA", width=0.25)):
        kernel = raw(layer.kernel).numpy()
        assert 0 <= kernel.min() < 0.0005 < kernel.max() <= 0.001


@pytest.mark.parametrize(
    "name", ["BiRealNet20", "ReActNet20", "XNORNetPlusPlusResNet20", "SDBNNResNet20"]
)
def test_small_networks_start_with_random_signs(name):
    for layer in signed_layers(build(name)):
        kernel = raw(layer.kernel).numpy()
        bound = 1 / np.sqrt(np.prod(kernel.shape[:3]))
        assert 0.9 * bound < np.abs(kernel).max() <= np.float32(bound)
        assert 0.4 < np.mean(kernel > 0) < 0.6


@pytest.mark.parametrize(
    ("name", "binary_weights", "held"),
    [
        ("BiRealNet20", True, True),
        ("ReActNet20", True, True),
        ("ReActNet20", False, False),
        ("XNORNetPlusPlusResNet20", True, True),
        ("SDBNNResNet20", True, False),
        ("BiRealNet18", True, False),
    ],
)
def test_a_step_leaves_latent_kernels_where_their_signs_can_turn(name, binary_weights, held):
    model = build(name, binary_weights=binary_weights)
    kernels = [raw(layer.kernel) for layer in signed_layers(model)]
    optimizer = adam(2.0)  # a step of 2 per weight, up or down
    optimizer.apply_gradients([(tf.ones_like(kernel), kernel) for kernel in kernels])
    lowest = min(kernel.numpy().min() for kernel in kernels)
    assert lowest == -1 if held else lowest < -1.5
