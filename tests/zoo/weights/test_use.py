"""Sets in models: by name, for other classes, without a classifier, and larq-zoo's."""

import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from server import Served

sys.path.append(str(Path(__file__).parents[1] / "models"))

from case import ROWS, build

import zoo
from zoo.errors import InvalidValueError, WeightsError
from zoo.files import sha256
from zoo.models import bireal_net, reactnet, resnet, sdbnn, xnornet_plus_plus
from zoo.pretrained.find import keeping
from zoo.weights import load_features, load_weights, save_weights, torch_state
from zoo.weights.files import read_npz

MODEL, NAME = "RealResNet20", "cifar10"
QUICK = "SDBNNResNet20"  # the smallest model with other layers than the classifier in its head
FACTORIES = {
    name: getattr(module, f"{name}Factory")
    for module in (bireal_net, reactnet, resnet, sdbnn, xnornet_plus_plus)
    for name in ROWS
    if hasattr(module, f"{name}Factory")
}


def test_by_name_from_a_mirror_and_from_the_cache(trained, file, mirror, home, monkeypatch):
    (mirror / MODEL / f"{NAME}.npz").write_bytes(file.read_bytes())
    first = zoo.RealResNet20()  # weights="cifar10" is its default
    monkeypatch.delenv("ZOO_WEIGHTS_MIRROR")
    again = zoo.get_model(MODEL, weights=NAME)
    for model in (first, again):
        for ours, theirs in zip(model.get_weights(), trained.get_weights(), strict=True):
            np.testing.assert_array_equal(ours, theirs)


class TestFineTuning:
    @pytest.fixture
    def cached(self, file, home):
        with keeping(MODEL, NAME, ".npz", "test", "digest") as draft:
            draft.write_bytes(file.read_bytes())

    def test_other_classes_get_a_new_classifier(self, trained, cached):
        with warnings.catch_warnings():
            warnings.filterwarnings("error", message=".*classes, not")
            model = zoo.RealResNet20(weights=NAME, num_classes=3)
        ours, theirs = torch_state(model), torch_state(trained)
        differ = {key for key in ours if not np.array_equal(ours[key], theirs[key])}
        assert differ == {"fc.weight", "fc.bias"}
        assert ours["fc.weight"].shape == (3, 64) and ours["fc.weight"].std() > 0.01

    def test_a_file_for_other_classes_is_said(self, file):
        with pytest.warns(UserWarning, match=r"'trained.npz' has 10 classes, not 3"):
            zoo.RealResNet20(weights=str(file), num_classes=3)

    def test_the_same_count_takes_the_classifier_too(self, trained, cached):
        model = zoo.RealResNet20(weights=NAME, num_classes=10)
        for ours, theirs in zip(model.get_weights(), trained.get_weights(), strict=True):
            np.testing.assert_array_equal(ours, theirs)

    def test_strict_where_a_new_classifier_would_be_a_lie(self, file):
        model = zoo.RealResNet20(weights=None, num_classes=3)
        with pytest.raises(WeightsError, match="another class count"):
            load_weights(model, file)


def test_a_twins_file_is_for_who_asks_for_it(file):
    model = zoo.BiRealNet20(weights=None)
    with pytest.raises(
        WeightsError, match="weights of realresnet20, which do not belong to bireal"
    ):
        load_weights(model, file)
    load_features(model, file, of_a_twin=True)
    ours, theirs = torch_state(model), read_npz(file)
    assert all(np.array_equal(ours[key], theirs[key]) for key in theirs)


@pytest.mark.parametrize("part", ["binary_weights", "binary_activations"])
def test_a_binary_networks_set_is_not_for_a_real_one(part):
    with pytest.raises(InvalidValueError, match=f"with {part}=False, give weights=None or a file"):
        zoo.BiRealNet20(**{part: False})


@pytest.mark.parametrize(
    "name", [QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in ROWS if name != QUICK)]
)
def test_without_the_classifier(name, tmp_path):
    """The features equal those of the whole network, so only the head is left out. Every model is
    tested, because each defines its own head."""
    whole = build(name)
    save_weights(whole, tmp_path / "all.npz")
    model = build(name, include_top=False, weights=tmp_path / "all.npz")
    ours, theirs = torch_state(model), torch_state(whole)
    assert all(np.array_equal(ours[key], theirs[key]) for key in ours)
    factory = FACTORIES[name]
    left_out = {key.split(".")[0] for key in set(theirs) - set(ours)}
    assert left_out == {factory.classifier_name, *factory.head}


def test_every_model_is_looked_at():
    assert set(FACTORIES) == set(ROWS)


class TestLarqZoo:
    """larq-zoo's sets are found and loaded in the same way, into larq-zoo's models."""

    @pytest.fixture(scope="class")
    def theirs(self, short_quicknet, tmp_path_factory):
        tf.keras.utils.set_random_seed(3)
        model = zoo.get_model("QuickNetSmall", weights=None, input_shape=(64, 64, 3))
        path = tmp_path_factory.mktemp("theirs") / "weights.h5"
        model.save_weights(path)
        return model, path

    @pytest.fixture
    def registered(self, theirs, register, server, home):
        server.files["/quicknet.h5"] = Served(theirs[1].read_bytes())
        digest = sha256(theirs[1])
        register("QuickNetSmall", "imagenet", address=f"{server.url}/quicknet.h5", sha256=digest)

    def test_whole_and_headless(self, theirs, registered, server):
        expected = theirs[0].get_weights()
        shape = {"input_shape": (64, 64, 3)}
        for arguments, features in (
            ({"weights": "imagenet", **shape}, len(expected)),
            # imagenet is larq-zoo's default
            ({"include_top": False, **shape}, len(expected) - 2),
        ):
            model = zoo.get_model("QuickNetSmall", **arguments)
            ours = model.get_weights()
            for one, other in zip(ours[:features], expected[:features], strict=True):
                np.testing.assert_array_equal(one, other)
            tf.keras.backend.clear_session()
        assert len(server.requests) == 1  # the other calls used the cache

    def test_a_path_and_what_is_none(self, theirs, home, tmp_path):
        shape = {"input_shape": (64, 64, 3)}
        model = zoo.get_model("QuickNetSmall", weights=theirs[1], **shape)
        for one, other in zip(model.get_weights(), theirs[0].get_weights(), strict=True):
            np.testing.assert_array_equal(one, other)
        (tmp_path / "bad.h5").write_bytes(b"no weights")
        small = {**shape, "num_classes": 3}
        three = zoo.get_model("QuickNetSmall", weights=None, **small)
        three.save_weights(tmp_path / "three.h5")
        model = zoo.get_model("QuickNetSmall", weights=tmp_path / "three.h5", **small)
        for one, other in zip(model.get_weights(), three.get_weights(), strict=True):
            np.testing.assert_array_equal(one, other)
        for weights, says in (
            (tmp_path / "bad.h5", "cannot be read as weights"),
            ("nope", "There are no weights 'nope' for QuickNetSmall"),
        ):
            with pytest.raises(WeightsError, match=says):
                zoo.get_model("QuickNetSmall", weights=weights, **shape)

    def test_another_model_s_file(self, theirs, register, server, home, unchanged):
        server.files["/x.h5"] = Served(theirs[1].read_bytes())
        register("BiRealNet", "imagenet", address=f"{server.url}/x.h5", sha256=sha256(theirs[1]))
        with pytest.raises(WeightsError, match="do not fit birealnet18"):
            zoo.get_model("BiRealNet", weights="imagenet")


class TestImages:
    def test_evaluation_sees_the_same(self):
        """Training's evaluation and `preprocess_input` crop and scale in the same way."""
        from training.data.preprocessing import PadCropFlip, RandomResizedCropFlip

        pixels = np.random.default_rng(0).integers(0, 256, (300, 401, 3)).astype("uint8")
        expected = RandomResizedCropFlip()
        theirs = expected.normalise(expected.transform(tf.constant(pixels), None)).numpy()
        ours = zoo.preprocess_input(pixels, weights="imagenet")
        assert ours.shape == (224, 224, 3) and ours.dtype == np.float32
        np.testing.assert_array_equal(ours, theirs)
        small = pixels[:32, :32]
        np.testing.assert_allclose(
            zoo.preprocess_input(small, weights="cifar10"),
            PadCropFlip().normalise(tf.constant(small)),
            rtol=1e-6,
        )
        batch = zoo.preprocess_input(np.stack([pixels, pixels]), weights="ReActNetA/imagenet")
        np.testing.assert_array_equal(batch, np.stack([ours, ours]))

    def test_larq_zoos_sets_are_cut_its_way(self):
        from larq_zoo import preprocess_input

        pixels = np.random.default_rng(0).integers(0, 256, (300, 401, 3)).astype("uint8")
        ours = zoo.preprocess_input(pixels, weights="imagenet", model="QuickNet")
        np.testing.assert_array_equal(ours, preprocess_input(pixels))
        assert np.abs(ours - zoo.preprocess_input(pixels)).max() > 0.1

    @pytest.mark.parametrize("image", [np.zeros((3, 4)), np.zeros((0, 4, 3)), np.array(["a"] * 3)])
    def test_no_image(self, image):
        with pytest.raises(InvalidValueError, match="An image"):
            zoo.preprocess_input(image.reshape(-1, 1, 3) if image.dtype.kind == "U" else image)

    def test_predictions(self):
        scores = np.zeros((2, 1000))
        scores[0, [281, 0, 5]] = 0.5, 0.3, 0.2
        scores[1, 999] = 1
        first, second = zoo.decode_predictions(scores, top=2)
        assert first == [("n02123045", "tabby", 0.5), ("n01440764", "tench", 0.3)]
        assert second[0] == ("n15075141", "toilet tissue", 1.0)
        ((best,),) = zoo.decode_predictions(np.eye(10)[[9]], top=1, weights="cifar10")
        assert best == ("truck", "truck", 1.0)
        with pytest.raises(InvalidValueError, match=r"\(batch, 1000\), not \(1, 10\)"):
            zoo.decode_predictions(np.eye(10)[[9]])
        with pytest.raises(InvalidValueError, match="top must be at least 1"):
            zoo.decode_predictions(scores, top=0)
