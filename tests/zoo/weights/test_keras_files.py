"""Keras's own files, .h5 and .keras: of this very network, or one sentence and no change."""

import numpy as np
import pytest
import tensorflow as tf

import zoo
from zoo.errors import WeightsError
from zoo.weights import load_weights

MODEL = "RealResNet20"


@pytest.fixture(scope="module", params=["weights.h5", "model.h5", "model.keras"])
def whole(trained, tmp_path_factory, request):
    path = tmp_path_factory.mktemp("keras") / request.param
    (trained.save_weights if path.stem == "weights" else trained.save)(path)
    return path


def test_its_own(trained, whole):
    model = zoo.RealResNet20(weights=whole)
    for ours, theirs in zip(model.get_weights(), trained.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_of_another_network(whole):
    with pytest.raises(WeightsError, match="which do not belong to sdbnnresnet20"):
        zoo.SDBNNResNet20(weights=whole)


def test_of_a_twin_that_has_its_name_in_the_file(whole):
    if whole.stem == "weights":
        zoo.BiRealNet20(weights=whole)  # cannot be told: the guide says so
        return
    with pytest.raises(WeightsError, match="of realresnet20, which do not belong to bireal"):
        zoo.BiRealNet20(weights=whole)


@pytest.mark.parametrize("share", [0.01, 0.5, 0.98])
def test_cut_short(whole, tmp_path, share):
    content = whole.read_bytes()
    (tmp_path / whole.name).write_bytes(content[: int(len(content) * share)])
    with pytest.raises(WeightsError, match=r"cannot be read as weights|do not fit") as caught:
        zoo.RealResNet20(weights=tmp_path / whole.name)
    assert "\n" not in str(caught.value)


def test_bitten(whole, tmp_path):
    content = whole.read_bytes()
    model = zoo.RealResNet20(weights=None)
    before = model.get_weights()
    for at in range(0, len(content) - 64, len(content) // 25):
        (tmp_path / whole.name).write_bytes(content[:at] + b"\xff" * 64 + content[at + 64 :])
        try:
            load_weights(model, tmp_path / whole.name)
        except WeightsError as error:
            assert "\n" not in str(error)
            for one, other in zip(model.get_weights(), before, strict=True):
                np.testing.assert_array_equal(one, other)
        model.set_weights(before)


def test_the_newer_layout_has_no_names(trained, tmp_path):
    trained.save_weights(tmp_path / "x.weights.h5")
    model = zoo.RealResNet20(weights=tmp_path / "x.weights.h5")
    for ours, theirs in zip(model.get_weights(), trained.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_not_a_number(trained, tmp_path):
    model = tf.keras.models.clone_model(trained)
    values = trained.get_weights()
    values[3] = np.full_like(values[3], np.nan)
    model.set_weights(values)
    model.save_weights(tmp_path / "nan.h5")
    with pytest.raises(WeightsError, match="holds NaN or infinity"):
        zoo.RealResNet20(weights=tmp_path / "nan.h5")


def test_larq_zoos_bi_real_net_is_not_the_authors(tmp_path):
    """Order and shapes of its weights are the same; it pads in another way."""
    shape = (64, 64, 3)
    zoo.get_model("BiRealNet", weights=None, input_shape=shape).save_weights(tmp_path / "theirs.h5")
    with pytest.raises(WeightsError, match=r"of another model \(layer .*\), which do not bel"):
        zoo.BiRealNet18(weights=tmp_path / "theirs.h5", input_shape=shape)
