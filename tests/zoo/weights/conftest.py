"""Lets the tests of this folder import the files beside them, and provides their fixtures."""

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))

from weights_fixtures import mirror, register, server, unchanged  # noqa: F401 (fixtures)


@pytest.fixture(autouse=True, scope="module")
def _small(small_networks):
    """Reading and checking weights does not depend on the number of blocks.

    All ResNet-20s have the same groups, because some tests exchange their weights.
    """
    from zoo.models._resnet import CifarResNet20

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CifarResNet20, "filters", (16, 32, 64))
        yield


@pytest.fixture(scope="module")
def trained(_small):
    """A RealResNet20 with weights that differ from every initialisation."""
    sys.path.append(str(Path(__file__).parents[1] / "models"))
    from case import randomize

    import zoo

    return randomize(zoo.RealResNet20(weights=None))


@pytest.fixture(scope="module")
def file(trained, tmp_path_factory):
    from zoo.weights import save_weights

    path = tmp_path_factory.mktemp("file") / "trained.npz"
    save_weights(trained, path)
    return path
