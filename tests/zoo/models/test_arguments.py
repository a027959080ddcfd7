"""The arguments of every model: each has its effect, and files keep all of them."""

import functools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from case import (
    ALL,
    DIFFERENT,
    KINDS_OF_LAYERS,
    ROWS,
    STANDARD,
    arguments_of,
    build,
    config_text,
    image_shape,
    images,
    is_binary,
    lightest,
    of_two_families,
    one_bit_layers,
    randomize,
    tiered,
)

import zoo
from zoo.weights import save_weights

pytestmark = pytest.mark.usefixtures("small_networks")

# Every argument, with a value that differs from its default and from the layer's default (which a
# layer takes if it does not save the value), and the other arguments that it needs for an effect.
NON_DEFAULT: dict[str, Any] = {
    "input_shape": lambda name: image_shape(name, odd=True),
    "input_tensor": lambda name: tf.keras.Input(image_shape(name), name="picture"),
    "include_top": False,
    "num_classes": 3,
    "classifier_activation": "sigmoid",
    "binary_weights": False,
    "magnitude_aware_gradient": True,
    "binary_activations": False,
    "clip_slope": 0.3,
    "width": 0.5,
    "stem_strides": 3,
    "scale": "case2",
    "activation": "hard_sigmoid",
    "pooling": "max",
    "classes": 3,
    "name": "mine",
}
NEEDS = {"clip_slope": {"binary_activations": False}, "pooling": {"include_top": False}}
# Arguments that all models share, but that have no effect in some.
WITHOUT_EFFECT = {(name, "binary_weights") for name in ALL if not is_binary(name)}
# An argument has the same effect in all networks with the same blocks.
ARGUMENTS = [
    (name, argument)
    for name in ALL
    for argument in arguments_of(name)
    if argument != "weights"
    if name in DIFFERENT or name == lightest(ROWS[name].family, argument)
]


def value_of(name: str, argument: str) -> Any:
    value = NON_DEFAULT[argument]
    return value(name) if callable(value) else value


@functools.cache
def default_config(name: str, needed: tuple = ()) -> str:
    tf.keras.backend.reset_uids()
    return config_text(build(name, **dict(needed)))


@pytest.mark.parametrize(
    ("name", "argument"), [tiered(name, arg, argument=arg) for name, arg in ARGUMENTS]
)
def test_argument_changes_the_model(name, argument):
    needed = NEEDS.get(argument, {})
    tf.keras.backend.reset_uids()
    changed = config_text(build(name, **needed, **{argument: value_of(name, argument)}))
    same = changed == default_config(name, tuple(needed.items()))
    assert same == ((name, argument) in WITHOUT_EFFECT)


@pytest.mark.parametrize("name", [of_two_families(name) for name in DIFFERENT])
def test_weights_argument_takes_what_save_weights_wrote(name, tmp_path):
    original = randomize(build(name))
    save_weights(original, tmp_path / "all.npz")
    model = build(name, weights=tmp_path / "all.npz")
    x = images(model)
    np.testing.assert_array_equal(model(x), original(x))
    original.save_weights(tmp_path / "all.h5")
    again = build(name, weights=str(tmp_path / "all.h5"))
    np.testing.assert_array_equal(again(x), original(x))


def everything_else(name: str) -> dict[str, Any]:
    """Return the arguments of `name`, except those that hide others, with non-default values."""
    hiding = {"weights", "input_tensor", "include_top", "binary_weights", "num_classes", "classes"}
    return {
        argument: value_of(name, argument)
        for argument in arguments_of(name)
        if argument not in hiding
    }


VARIANTS = {
    "plain": lambda name: {},
    "all": lambda name: {**everything_else(name), "num_classes": 3, "classes": 3},
    "stage1": lambda name: {
        "binary_weights": False,
        "include_top": False,
        "input_tensor": value_of(name, "input_tensor"),
    },
}


def test_variants_hold_every_argument():
    for name in ALL:
        held = {argument for variant in VARIANTS.values() for argument in variant(name)}
        assert held | {"weights"} == set(arguments_of(name))
        assert set(STANDARD) <= set(arguments_of(name))
    assert {argument for _, argument in ARGUMENTS} == set(NON_DEFAULT)


def saved_and_loaded(model: tf.keras.Model, form: str, folder: Path) -> tf.keras.Model:
    if form == "json":
        model.save_weights(folder / "weights.h5")
        again = tf.keras.models.model_from_json(model.to_json())
        again.load_weights(folder / "weights.h5")
        return again
    path = folder / {"keras": "model.keras", "hdf5": "model.h5", "saved_model": "model"}[form]
    model.save(path)
    return zoo.load_model(path, safe_mode=form != "saved_model")


def round_trip(name: str, variant: str, forms: list[str], folder: Path) -> None:
    original = randomize(build(name, **VARIANTS[variant](name)))
    x = images(original)
    outputs = original(x).numpy()
    assert np.isfinite(outputs).all() and not np.allclose(outputs[0], outputs[1])
    for form in forms:
        again = saved_and_loaded(original, form, folder)
        assert config_text(again) == config_text(original), form
        kinds = [[type(layer) for layer in model.layers] for model in (again, original)]
        assert kinds[0] == kinds[1], form
        tolerance = 1e-6 if form == "saved_model" else 0
        np.testing.assert_allclose(again(x), outputs, tolerance, tolerance, err_msg=form)
        assert one_bit_layers(again) == one_bit_layers(original), form
        for ours, theirs in zip(again.get_weights(), original.get_weights(), strict=True):
            np.testing.assert_array_equal(ours, theirs, err_msg=form)


@pytest.mark.parametrize(
    ("name", "variant"),
    [
        *(pytest.param(*each.values, "all", marks=each.marks) for each in KINDS_OF_LAYERS),
        *(
            pytest.param(*each.values, variant, marks=pytest.mark.models)
            for variant in ("plain", "stage1")
            for each in KINDS_OF_LAYERS
        ),
    ],
)
def test_arguments_survive(name, variant, tmp_path):
    round_trip(name, variant, ["keras", "hdf5", "json"], tmp_path)


@pytest.mark.models
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", DIFFERENT)
def test_arguments_survive_in_saved_model(name, tmp_path):
    round_trip(name, "all", ["saved_model"], tmp_path)


@pytest.mark.models
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", [name for name in ALL if name.endswith("20")])
def test_first_stage_survives_in_saved_model(name, tmp_path):
    round_trip(name, "stage1", ["saved_model"], tmp_path)
