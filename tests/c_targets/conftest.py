"""Exports for the tests of other machines: the shipped networks, and the embedded test images."""

import sys
from pathlib import Path

import numpy as np
import pytest

HERE = Path(__file__).parent
sys.path += [str(HERE.parent / "deploy"), str(HERE.parent / "zoo" / "models")]

from tools.c_targets.matrix import SHIPPED, sample_images  # noqa: E402
from tools.c_targets.targets import NAME, Builder  # noqa: E402


@pytest.fixture(scope="session")
def pixels():
    """The 100 test images of CIFAR-10 in the package, uint8."""
    return sample_images()


@pytest.fixture(scope="session")
def images(pixels):
    import zoo

    return zoo.preprocess_input(pixels, "cifar10").astype(np.float32)


@pytest.fixture(scope="session")
def exports(tmp_path_factory):
    """The directory of each shipped network's C code."""
    import zoo
    from zoo.deploy import to_c

    folder = tmp_path_factory.mktemp("exports")
    for name in SHIPPED:
        model = zoo.get_model(name, weights="cifar10", classifier_activation=None)
        to_c(model, folder / name, name=NAME)
    return {name: folder / name for name in SHIPPED}


@pytest.fixture(scope="session")
def builder(tmp_path_factory):
    return Builder(tmp_path_factory.mktemp("kernels"))
