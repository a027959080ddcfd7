"""Keras's .h5 and .keras files: of the same network, or one sentence and no change."""

import re
import zipfile

import h5py
import numpy as np
import pytest
import tensorflow as tf

import zoo
from zoo.errors import FileError, WeightsError
from zoo.weights import load_features, load_weights, torch_state
from zoo.weights.load import classes_of

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
        zoo.BiRealNet20(weights=whole)  # cannot be detected, as the guide says
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
    for at in range(0, len(content) - 64, len(content) // 12):
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
    """Its weights have the same order and shapes, but its padding differs."""
    shape = (64, 64, 3)
    zoo.get_model("BiRealNet", weights=None, input_shape=shape).save_weights(tmp_path / "theirs.h5")
    with pytest.raises(WeightsError, match=r"of another model \(layer .*\), which do not bel"):
        zoo.BiRealNet18(weights=tmp_path / "theirs.h5", input_shape=shape)


@pytest.mark.parametrize("name", ["weights.h5", "model.h5", "model.keras"])
def test_features_for_other_classes(trained, name, tmp_path):
    """As with an .npz: the classifier is new or absent; the other layers come from the file."""
    (trained.save_weights if name == "weights.h5" else trained.save)(tmp_path / name)
    theirs = torch_state(trained)
    with pytest.warns(UserWarning, match=f"'{name}' has 10 classes, not 3"):
        three = zoo.RealResNet20(weights=tmp_path / name, num_classes=3)
    ours = torch_state(three)
    differ = {key for key in ours if not np.array_equal(ours[key], theirs[key])}
    assert differ == {"fc.weight", "fc.bias"} and ours["fc.weight"].shape == (3, 64)
    features = torch_state(zoo.RealResNet20(weights=tmp_path / name, include_top=False))
    assert set(theirs) - set(features) == differ
    assert all(np.array_equal(features[key], theirs[key]) for key in features)
    assert classes_of(tmp_path / name, MODEL, "fc") == 10
    with pytest.raises(WeightsError, match=r"do not fit|which do not belong"):
        zoo.RealResNet20(weights=tmp_path / name, num_classes=3, width=0.5)


@pytest.mark.parametrize("twin", [False, True])
def test_a_twin(trained, twin, tmp_path):
    trained.save(tmp_path / "model.keras")
    model = zoo.BiRealNet20(weights=None, num_classes=3)
    if not twin:
        with pytest.raises(WeightsError, match="which do not belong to birealnet20"):
            load_features(model, tmp_path / "model.keras")
        return
    with pytest.warns(UserWarning, match="gets a new classifier"):
        load_features(model, tmp_path / "model.keras", of_a_twin=True)
    theirs, ours = torch_state(trained), torch_state(model)
    assert all(np.array_equal(ours[key], theirs[key]) for key in ours if key[:3] != "fc.")


class OwnLayer(tf.keras.layers.Layer):
    pass


def test_which_program_saved_it(trained, tmp_path):
    """Files of Keras 3, with custom layers, and damaged zips: one sentence names the problem."""
    trained.save(tmp_path / "a.keras")
    trained.save(tmp_path / "a.h5")

    def changed(name, **members):
        target = tmp_path / name
        with zipfile.ZipFile(tmp_path / "a.keras") as old, zipfile.ZipFile(target, "w") as new:
            for each in old.namelist():
                new.writestr(each, members.get(each, old.read(each)))
        return target

    later = changed("later.keras", **{"metadata.json": b'{"keras_version": "3.10.0"}'})
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        file.attrs["keras_version"] = "3.4.1"
    image = tf.keras.Input((8, 8, 3))
    tf.keras.Model(image, OwnLayer(name="mine")(image)).save(tmp_path / "own.keras")
    tf.keras.Model(image, OwnLayer(name="mine")(image)).save(tmp_path / "own.h5")
    with zipfile.ZipFile(tmp_path / "other.keras", "w") as archive:
        archive.writestr("word/document.xml", "text")
    (tmp_path / "text.keras").write_text("text")
    for path, says in {
        later: "was saved by Keras 3.10.0, but larq and this zoo need Keras 2",
        tmp_path / "a.h5": "was saved by Keras 3.4.1, but",
        tmp_path / "own.keras": "names the class OwnLayer, which does not belong to Keras, larq",
        tmp_path / "own.h5": "names the class OwnLayer, which does not belong to Keras, larq",
        tmp_path / "other.keras": "is a zip archive, but not a Keras model: it has no config.json",
        tmp_path / "text.keras": "it is not a zip archive, but .keras files are",
    }.items():
        with pytest.raises(FileError, match=re.escape(says)) as caught:
            zoo.load_model(path)
        assert "\n" not in str(caught.value)
    own = zoo.load_model(tmp_path / "own.keras", custom_objects={"OwnLayer": OwnLayer})
    assert isinstance(own.layers[-1], OwnLayer)
