"""Wrong arguments of models: one clear sentence for each."""

import re

import numpy as np
import pytest
import tensorflow as tf
from case import ROWS, build, image_shape

import zoo
from zoo.errors import InvalidValueError, UnknownNameError, WeightsError, ZooError
from zoo.weights import load_weights, save_weights

QUICK = "BiRealNet20"


def refused(error: type[ZooError] | tuple, says: str, name: str, **arguments) -> None:
    with pytest.raises(error, match=says) as caught:
        zoo.get_model(name, **{"weights": None, **arguments})
    text = str(caught.value)
    assert "\n" not in text and len(text) < 900, text
    assert text.endswith("."), text


@pytest.mark.parametrize("typo", ["reactneta", "ReAcNetA", "ReActNet_A"])
def test_unknown_model(typo):
    refused(UnknownNameError, "did you mean 'ReActNetA'", typo)
    with pytest.raises(UnknownNameError, match="did you mean 'ReActNetA'"):
        zoo.catalog.row(typo)


@pytest.mark.parametrize("name", ROWS)
def test_unknown_argument(name):
    refused(UnknownNameError, "did you mean 'num_classes'", name, num_clases=10)


SHAPES = [
    (0, 32, 3),
    (-32, 32, 3),
    (32, 32),
    (32, 32, 3, 1),
    (32.5, 32, 3),
    ("32", 32, 3),
    (32, 32, None),
    (True, 32, 3),
    (32, 32, 0),
    (),
    "32",
    32,
]


def test_value_of_another_type():
    for arguments, says in (
        ({"input_shape": 32}, "input_shape must be three numbers, (height, width, channels)"),
        ({"num_classes": "x"}, "num_classes must be a whole number, not 'x'."),
        ({"binary_weights": "x"}, "binary_weights must be True or False, not 'x'."),
        ({"classifier_activation": 3}, "classifier_activation must be a string, not 3."),
    ):
        refused(InvalidValueError, re.escape(says), QUICK, **arguments)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_impossible_input_shape(shape):
    refused(InvalidValueError, "input_shape", QUICK, input_shape=shape)


@pytest.mark.parametrize("name", ROWS)
@pytest.mark.parametrize("channels", [1, 3])
def test_channels_first_shape(name, channels):
    refused(
        InvalidValueError,
        r"channels-first.*\(224, 224, \d\)",
        name,
        input_shape=(channels, 224, 224),
    )


def test_channels_first_keras():
    tf.keras.backend.set_image_data_format("channels_first")
    try:
        refused(InvalidValueError, "channels-last", QUICK)
        refused(InvalidValueError, "channels-last", QUICK, input_tensor=tf.keras.Input((32, 32, 3)))
    finally:
        tf.keras.backend.set_image_data_format("channels_last")


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("SDBNNVGGSmall", (4, 4, 3)),
        ("SDBNNVGGSmall", (1, 40, 3)),
        ("SDBNNVGGSmall", (None, None, 3)),
        ("XNORNetPlusPlusAlexNet", (32, 32, 3)),
        ("XNORNetPlusPlusAlexNet", (62, 224, 3)),
        ("XNORNetPlusPlusAlexNet", (None, None, 3)),
        ("XNORNetPlusPlusResNet18", (None, None, 3)),
        ("XNORNetPlusPlusResNet20", (None, 32, 3)),
    ],
)
def test_image_size_a_network_cannot_take(name, shape):
    refused(InvalidValueError, "(?i)size|shape|height", name, input_shape=shape)


@pytest.mark.parametrize("name", ["SDBNNVGGSmall", "XNORNetPlusPlusAlexNet"])
def test_open_size_needs_no_top_or_case1(name):
    refused(
        InvalidValueError,
        "size|height",
        name,
        input_shape=(None, None, 3),
        **({"scale": "case1"} if "XNOR" in name else {}),
    )


@pytest.mark.parametrize(
    ("name", "arguments", "says"),
    [
        *[("ReActNetA", {"width": width}, "width") for width in (0.01, 0.0, -1.0, float("nan"))],
        *[("RealResNet20", {"width": width}, "width") for width in (0.01, 0.0, -1.0)],
        *[("ReActNetB", {"width": width}, "width") for width in (0.15625, float("inf"))],
        *[("ReActNetA", {"stem_strides": strides}, "stem_strides") for strides in (0, -1, 1.5)],
        *[(QUICK, {"num_classes": count}, "num_classes") for count in (0, -3, 2.5, "10", True)],
        *[(QUICK, {"include_top": value}, "include_top") for value in ("yes", 1, None)],
        (QUICK, {"binary_weights": "no"}, "binary_weights"),
        (QUICK, {"classifier_activation": "sofmax"}, "did you mean 'softmax'"),
        (QUICK, {"classifier_activation": 3}, "classifier_activation"),
        (QUICK, {"clip_slope": -0.1, "binary_activations": False}, "clip_slope"),
        (QUICK, {"input_tensor": np.zeros((1, 32, 32, 3))}, "input_tensor.*Keras tensor"),
        ("XNORNetPlusPlusResNet20", {"scale": "case9"}, "case1.*case9"),
        ("XNORNetPlusPlusResNet20", {"activation": "rellu"}, "no activation 'rellu'; did you mean"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_argument_out_of_range(name, arguments, says):
    refused(
        (InvalidValueError, UnknownNameError),
        says,
        name,
        **{"input_shape": image_shape(name), **arguments},
    )


def test_input_tensor_that_is_no_image():
    refused(InvalidValueError, "input_tensor", QUICK, input_tensor=tf.keras.Input((32, 3)))
    refused(
        InvalidValueError,
        "input_tensor|channels",
        QUICK,
        input_tensor=tf.keras.Input((32, 32, None)),
    )


class TestWeights:
    @pytest.fixture(scope="class")
    def folder(self, tmp_path_factory):
        folder = tmp_path_factory.mktemp("weights")
        (folder / "text.npz").write_text("no archive", encoding="utf-8")
        (folder / "text.h5").write_text("no archive", encoding="utf-8")
        (folder / "empty.npz").write_bytes(b"")
        np.savez(folder / "objects.npz", value=np.array([{}], dtype=object))
        model = build(QUICK, num_classes=5)
        save_weights(model, folder / "five.npz")
        model.save_weights(folder / "five.h5")
        headless = build(QUICK, include_top=False)
        save_weights(headless, folder / "headless.npz")
        return folder

    @pytest.fixture(scope="class")
    def model(self):
        return build(QUICK)

    @pytest.mark.parametrize(
        ("weights", "says"),
        [
            ("imagenet2", "no weights 'imagenet2'"),
            ("missing.npz", "no weights file"),
            ("a/missing", "no weights file"),
            ("text.npz", "not a readable .npz"),
            ("empty.npz", "not a readable .npz"),
            ("objects.npz", "not a readable .npz"),
            ("text.h5", "text.h5"),
            ("five.npz", "class count.*fc.weight is"),
            ("five.h5", "five.h5.* do not fit"),
            ("headless.npz", "2 missing"),
            (".", "folder|directory"),
        ],
    )
    def test_that_do_not_fit(self, folder, model, weights, says):
        path = weights if weights == "imagenet2" else str(folder / weights)
        before = model.get_weights()
        with pytest.raises(WeightsError, match=says) as caught:
            load_weights(model, path)
        assert "\n" not in str(caught.value) and str(caught.value).endswith(".")
        for ours, earlier in zip(model.get_weights(), before, strict=True):
            np.testing.assert_array_equal(ours, earlier)

    def test_reach_the_public_function(self, folder):
        refused(WeightsError, "no weights 'imagenet2'", QUICK, weights="imagenet2")
        refused(WeightsError, "2 missing", QUICK, weights=folder / "headless.npz", num_classes=7)

    @pytest.mark.parametrize("file", ["five.npz", "five.h5"])
    @pytest.mark.parametrize("other", ["XNORNetPlusPlusResNet20", "SDBNNVGGSmall"])
    def test_of_another_model(self, folder, file, other):
        refused(WeightsError, "fit|belong", other, weights=str(folder / file), num_classes=5)

    def test_a_registered_set_says_where_it_is(self):
        refused(WeightsError, "ReActNet.*README|README.*ReActNet", "ReActNetA", weights="imagenet")

    @pytest.mark.parametrize("path", ["a.h5", "a", "missing/a.npz"])
    def test_save_to_a_place_that_cannot_be(self, model, tmp_path, path):
        with pytest.raises(WeightsError) as caught:
            save_weights(model, tmp_path / path)
        assert "\n" not in str(caught.value)
