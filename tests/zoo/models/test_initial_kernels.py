"""How binary kernels start: next to zero for ImageNet, at random for small images."""

import numpy as np
import pytest
from case import build, raw, signed_layers


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
        assert 0.9 * bound < np.abs(kernel).max() <= bound
        assert 0.4 < np.mean(kernel > 0) < 0.6
