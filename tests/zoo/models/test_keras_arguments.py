"""The arguments of `tf.keras.applications`, and networks as parts of a larger model."""

import numpy as np
import pytest
import tensorflow as tf
from case import ROWS, build, image_shape, lightest, randomize

import zoo
from zoo.errors import InvalidValueError
from zoo.weights import save_weights, torch_state

pytestmark = pytest.mark.usefixtures("small_networks", "short_quicknet")

FAMILIES = sorted({row.family for row in ROWS.values()})
LIGHTEST = [lightest(family, "weights") for family in FAMILIES]
QUICK_FILES = {("ReActNet20", "all.npz"), ("ReActNet20", "all.h5"), ("SDBNNResNet20", "all.npz")}
IMAGES = np.random.default_rng(0).uniform(size=(2, 32, 32, 3)).astype("float32")


@pytest.mark.parametrize("name", ["BiRealNet20", "QuickNetSmall"])
def test_pooling_classes_and_name(name):
    shape = {"input_shape": (32, 32, 3), "weights": None}
    for pooling, reduce in (("avg", np.mean), ("max", np.max)):
        model = zoo.get_model(name, **shape, include_top=False, pooling=pooling, name="left")
        maps = tf.keras.Model(model.input, model.layers[-1].input)
        np.testing.assert_allclose(
            model(IMAGES), reduce(maps(IMAGES).numpy(), axis=(1, 2)), rtol=1e-4, atol=1e-5
        )
        assert model.name == "left"
    assert zoo.get_model(name, **shape, classes=5, pooling="avg").output_shape == (None, 5)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"classes": 5, "num_classes": 4}, "are the same argument"),
        ({"pooling": "mean"}, "pooling must be 'avg', 'max' or None, not 'mean'"),
        ({"name": 3}, "name must be a string, not 3"),
        ({"name": ""}, "name must be a string"),
    ],
)
@pytest.mark.parametrize("name", ["BiRealNet20", "QuickNetSmall"])
def test_wrong_values(name, arguments, says):
    with pytest.raises(InvalidValueError, match=says):
        zoo.get_model(name, weights=None, **arguments)


@pytest.mark.parametrize(
    "shape",
    [tf.TensorShape([64, 48, 3]), np.array([64, 48, 3]), [np.int64(64), np.int32(48), 3]],
    ids=str,
)
def test_numpys_numbers_and_tensorflows_shapes(shape):
    for name, own in (("RealResNet20", {"width": np.float32(0.25)}), ("QuickNetSmall", {})):
        model = zoo.get_model(
            name,
            weights=None,
            input_shape=shape,
            num_classes=np.int64(5),
            include_top=np.bool_(True),
            **own,
        )
        assert model.input_shape == (None, 64, 48, 3) and model.output_shape == (None, 5)


def test_two_networks_of_one_kind_in_one_model(tmp_path):
    left, right = (build("ReActNet20", name=name) for name in ("left", "right"))
    image = tf.keras.Input((32, 32, 3))
    model = tf.keras.Model(image, [left(image), right(image[:, ::-1]), left(image[:, :, ::-1])])
    one, all_three = zoo.profile(left), zoo.profile(model)
    assert all_three.binary_macs == 3 * one.binary_macs > 0
    assert all_three.float_macs == 3 * one.float_macs
    assert (all_three.params, all_three.memory_bytes) == (2 * one.params, 2 * one.memory_bytes)
    model.save(tmp_path / "two.keras")
    again = zoo.load_model(tmp_path / "two.keras")
    for ours, theirs in zip(again(IMAGES), model(IMAGES), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_shared_layer_counts_as_often_as_it_is_called():
    conv, image = tf.keras.layers.Conv2D(3, 3, padding="same"), tf.keras.Input((8, 8, 3))
    model = tf.keras.Model(image, conv(tf.keras.layers.MaxPool2D(2)(conv(image))))
    assert zoo.profile(model).float_macs == (64 + 16) * 9 * 3 * 3


def test_a_networks_weights_do_not_depend_on_its_name(tmp_path):
    renamed = randomize(build("ReActNet20", name="mine", include_top=False, pooling="avg"))
    plain = build("ReActNet20", include_top=False)
    plain.set_weights(renamed.get_weights())
    ours, theirs = torch_state(renamed), torch_state(plain)
    assert ours.keys() == theirs.keys()
    for key, value in theirs.items():
        np.testing.assert_array_equal(ours[key], value)
    save_weights(renamed, tmp_path / "mine.npz")
    again = build("ReActNet20", include_top=False, weights=tmp_path / "mine.npz", pooling="avg")
    np.testing.assert_array_equal(again(IMAGES), renamed(IMAGES))


def with_layers_in_front(shape):
    normalize = tf.keras.layers.Normalization()
    normalize.adapt(np.random.default_rng(1).uniform(2, 5, (4, *shape)).astype("float32"))
    image = tf.keras.Input(shape)
    conv = tf.keras.layers.Conv2D(3, 3, padding="same", name="front")
    x = tf.keras.layers.BatchNormalization()(conv(normalize(image)))
    return tf.keras.Model(image, x)


@pytest.mark.parametrize(
    ("name", "file"),
    [
        # Both forms of one network, and the package's form of a network with other layers.
        pytest.param(name, file, marks=[] if (name, file) in QUICK_FILES else [pytest.mark.slow])
        for name in LIGHTEST
        for file in ("all.npz", "all.h5")
    ],
)
def test_weights_belong_to_the_network_behind_the_layers_in_front(name, file, tmp_path):
    shape = image_shape(name)
    alone = randomize(build(name))
    if file.endswith("npz"):
        save_weights(alone, tmp_path / file)
    else:
        alone.save_weights(tmp_path / file)
    front = with_layers_in_front(shape)
    model = build(name, input_tensor=front.output, weights=tmp_path / file)
    x = np.random.default_rng(0).uniform(size=(2, *shape)).astype("float32")
    np.testing.assert_array_equal(model(x), alone(front(x)))


def test_larq_zoos_models_are_called_with_a_tensor():
    tensor = with_layers_in_front((32, 32, 3)).output
    with pytest.raises(InvalidValueError, match="not supported by QuickNetSmall"):
        zoo.get_model("QuickNetSmall", weights=None, input_tensor=tensor)
    model = zoo.get_model("QuickNetSmall", weights=None, input_shape=(32, 32, 3))
    assert model(tensor).shape == (None, 1000)


def test_a_layer_in_front_of_a_name_of_the_networks():
    x = tf.keras.layers.Conv2D(3, 3, name="conv1")(tf.keras.Input((32, 32, 3)))
    with pytest.raises(InvalidValueError, match='"conv1" is used 2 times'):
        build("BiRealNet20", input_tensor=x)
