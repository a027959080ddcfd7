"""Shared code of the models' tests: build small models, set their weights, select quick tests."""

import inspect
import json
from pathlib import Path
from typing import Any

import larq as lq
import numpy as np
import pytest
import tensorflow as tf

import zoo
from zoo import catalog

ROWS = {row.model: row for row in catalog.rows(origin="zoo")}
SUMMARIES = Path(__file__).parent / "summaries"
CLASSES = 7
ALL = list(ROWS)
# One network of each kind of block, for the quick tests; the others combine these parts.
EACH_BLOCK = {"ReActNetA", "ReActNet20", "BiRealNet18", "XNORNetPlusPlusAlexNet", "SDBNNResNet20"}
EACH_BLOCK |= {"SDBNNVGGSmall", "XNORNetPlusPlusResNet20", "RealResNet20"}
# And two that differ a little, for the slow ones: groups, and bottlenecks.
DIFFERENT = [name for name in ALL if name in EACH_BLOCK | {"ReActNetB", "BiRealNet50"}]
STANDARD = (
    "input_shape",
    "input_tensor",
    "weights",
    "include_top",
    "num_classes",
    "classifier_activation",
    "binary_weights",
)
SHARED = {*STANDARD, "pooling", "classes", "name"} - {"weights", "binary_weights"}


def image_shape(name: str, odd: bool = False) -> tuple[int, int, int]:
    """Return a small image shape: 32x32; for AlexNet its minimum 67x67; another if `odd`."""
    if name == "XNORNetPlusPlusAlexNet":
        return (99, 71, 3) if odd else (67, 67, 3)
    return (37, 43, 3) if odd else (32, 32, 3)


def build(name: str, /, **arguments: Any) -> tf.keras.Model:
    """Build a small model, with random weights by default."""
    classes = arguments.get("classes", CLASSES)  # another name of num_classes
    defaults: dict[str, Any] = {"weights": None, "num_classes": classes}
    if "input_tensor" not in arguments:
        defaults["input_shape"] = image_shape(name)
    return zoo.get_model(name, **{**defaults, **arguments})


def arguments_of(name: str) -> list[str]:
    return list(inspect.signature(getattr(zoo, name)).parameters)


def lightest(family: str, argument: str) -> str:
    """Return the smallest model of a family with this argument, for the quick tests."""
    having = [n for n, row in ROWS.items() if row.family == family and argument in arguments_of(n)]
    return min(having, key=lambda name: ROWS[name].ops)


def tiered(name: str, *values: Any, argument: str = "weights") -> Any:
    """Return a pytest parameter; it is slow unless `name` is the smallest of its family.

    For an argument of the base class, which all models share, only ReActNet's is quick.
    """
    quick = lightest(ROWS[name].family, argument) == name
    if argument in SHARED:
        quick = quick and ROWS[name].family == "ReActNet"
    return pytest.param(name, *values, marks=[] if quick else [pytest.mark.slow])


def of_two_families(name: str) -> Any:
    """Return a pytest parameter for the base class; slow unless `name` is one of two models."""
    quick = name in ("ReActNet20", "SDBNNResNet20")
    return pytest.param(name, marks=[] if quick else [pytest.mark.slow])


def is_binary(name: str) -> bool:
    return ROWS[name].family != "real-valued"


# Only these families have quick tests: the others have few layers that ReActNet lacks.
KINDS_OF_LAYERS = [
    tiered(name)
    if ROWS[name].family in ("ReActNet", "XNOR-Net++", "SD-BNN")
    else pytest.param(name, marks=pytest.mark.slow)
    for name in DIFFERENT
]


def raw(variable: tf.Variable) -> tf.Variable:
    """Return the latent variable of larq's quantised variable."""
    return getattr(variable, "latent_variable", variable)


def randomize(model: tf.keras.Model, seed: int = 0) -> tf.keras.Model:
    """Set every weight to a different value, in a range that keeps signal and gradient useful."""
    rng = np.random.default_rng(seed)
    for variable in map(raw, model.weights):
        leaf = variable.name.split(":")[0].rsplit("/", 1)[-1]
        value = rng.standard_normal(variable.shape)
        if ".fc." in variable.name:  # a gate has few hidden units: they must not be 0 or saturated
            value = np.abs(value) / variable.shape[0] * (1 if ".fc.0" in variable.name else -3)
        elif leaf == "kernel":
            classifier = variable.shape.rank == 2  # small, so that the softmax is not saturated
            value *= np.sqrt((0.05 if classifier else 2) / np.prod(variable.shape[:-1]))
        elif leaf in ("gamma", "moving_variance") or ".scale/" in variable.name:
            value = rng.uniform(0.5, 1.5, variable.shape)
        elif leaf in ("alpha", "slope"):  # PReLU: keep enough negative values for the signs
            value = rng.uniform(0.4, 0.8, variable.shape)
        else:
            value = 0.1 * (np.abs(value) if leaf == "beta" else value)
        variable.assign(value)
    # Use the statistics of one batch, so that inference does not overflow or saturate.
    norms = [each for each in model.layers if isinstance(each, tf.keras.layers.BatchNormalization)]
    before = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    model(images(model, batch=8, seed=2), training=True)
    for norm, momentum in zip(norms, before, strict=True):
        norm.momentum = momentum
    return model


def images(model: tf.keras.Model, batch: int = 2, seed: int = 1, size: Any = None) -> np.ndarray:
    shape = size or [length or 32 for length in model.input_shape[1:]]
    return np.random.default_rng(seed).standard_normal((batch, *shape)).astype("float32")


def signed_layers(model: tf.keras.Model) -> list[tf.keras.layers.Layer]:
    """Return the convolutions that are intended to be binary: their input is signs."""
    return [each for each in model.layers if getattr(each, "input_quantizer", None) is not None]


def one_bit_layers(model: tf.keras.Model) -> set[str]:
    """Return the layers with weights that larq's summary counts as 1 bit."""
    profiles = lq.models.ModelProfile(model).layer_profiles
    return {each.name for each in profiles if any(w.bitwidth == 1 for w in each.weight_profiles)}


def config_text(model: tf.keras.Model) -> str:
    """Return the model's configuration, in the same form for built and loaded models."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            # Only some formats record the shapes that a layer was built with.
            return {key: plain(each) for key, each in value.items() if key != "build_config"}
        return [plain(each) for each in value] if isinstance(value, (list, tuple)) else value

    return json.dumps(plain(model.get_config()), sort_keys=True, default=str)


def summary_text(model: tf.keras.Model) -> str:
    lines: list[str] = []
    lq.models.summary(model, print_fn=lines.append)
    return "\n".join(line.rstrip() for line in "\n".join(lines).splitlines()) + "\n"
