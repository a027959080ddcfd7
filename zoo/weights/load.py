"""Load weights into models, from a path or from a set found by `zoo.pretrained`."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from zoo import catalog
from zoo.errors import WeightsError
from zoo.files import expanded
from zoo.pretrained.find import find_here, obtain, present
from zoo.pretrained.records import WeightSet, find_record, names_a_file, records_of
from zoo.weights.files import TORCH_SUFFIXES, check_weights, read_npz, write_npz
from zoo.weights.imports import prepare
from zoo.weights.keras_file import classifier_size, keras_features, last_size, load_keras
from zoo.weights.torch_layout import network_name
from zoo.weights.torch_state import load_torch_state, torch_state

CLASSIFIER = "fc"  # name of the classifier layer in most models


def save_weights(model: tf.keras.Model, path: str | Path, *, packed: bool = False) -> None:
    """Write the state of a model of this zoo to a file.

    Args:
        model: the model.
        path: the file to write; its name must end in .npz.
        packed: write one bit per binary weight and one scale per filter instead of the latent
            kernels. This needs a 20th of the bytes and keeps the forward pass bit-identical.

    Raises:
        WeightsError: the name has another ending, or the file cannot be written.
    """
    path = Path(path)
    if path.suffix != ".npz":
        raise WeightsError(f"Weights are written as .npz, not '{path.name}'.")
    try:
        write_npz(model, path, packed=packed)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise WeightsError(f"'{path}' cannot be written: {reason}.") from error


def find_weights(weights: str | Path, name: str) -> Path:
    """Find and check the file for `weights`: a path, or the name of a set of the model `name`.

    A plain word without a suffix is a set, even if a file has that name. The search order is: the
    package, the cache, a mirror (ZOO_WEIGHTS_MIRROR), the authors' address.

    Raises:
        WeightsError: the file or set does not exist, is unavailable, or is unsafe.
    """
    path = expanded(weights)
    if not names_a_file(weights):
        record = find_record(name, str(weights))
        found = obtain(record, prepare) if record else present(name, str(weights))
        if found:
            return found
        if path.is_file():
            raise WeightsError(
                f"{name} has no weight set '{weights}'; to load the file with that name, give "
                f"'./{path}'."
            )
    if path.is_dir():
        raise WeightsError(f"'{weights}' is a folder, not a weights file.")
    if not names_a_file(weights):
        raise WeightsError(_no_such_set(str(weights), name))
    if not path.exists():
        raise WeightsError(f"There is no weights file '{weights}'.")
    check_weights(path)
    return path


def find_weights_here(weights: str | Path, name: str, *, required: bool = True) -> Path | None:
    """Do the same as `find_weights` without downloads: None for a set that it would download.

    Args:
        weights: see `find_weights`.
        name: see `find_weights`.
        required: also raise an error for a set that is not on this machine and that cannot be
            downloaded.
    """
    if names_a_file(weights):
        return find_weights(weights, name)
    if not required:
        return present(name, str(weights))
    record = find_record(name, str(weights))
    return find_here(record) if record else find_weights(weights, name)


def load_weights(model: tf.keras.Model, weights: str | Path, *, name: str | None = None) -> Path:
    """Set every weight of `model` from a file or a registered set, or change nothing.

    Args:
        model: the model to set.
        weights: path of an .npz written by `save_weights`, or of a Keras file (.h5, .keras); or a
            set's name.
        name: the model's name in the catalog, if it differs from `model.name`.

    Returns:
        The file.

    Raises:
        WeightsError: the file or set does not exist, is unavailable, or does not fit.
    """
    name = name or catalog_name(model)
    path = _readable_file(weights, name)
    if path.suffix == ".npz":
        load_torch_state(model, read_npz(path, network_name(model)))
    else:
        load_keras(model, path, named=not _is_of_larq_zoo(name))
    return path


def load_features(
    model: tf.keras.Model,
    weights: str | Path,
    *,
    name: str | None = None,
    head: Sequence[str] = (CLASSIFIER,),
    of_a_twin: bool = False,
) -> Path:
    """Set the weights of `model` for fine-tuning; a head for other classes is not loaded.

    A classifier for other classes keeps its initial weights, with a warning if `weights` is a file.
    Layers of the head that `model` does not have are ignored. All other weights must fit.

    Args:
        model: the model to set, one of this zoo.
        weights: as for `load_weights`.
        name: the model's name in the catalog, if it differs from `model.name`.
        head: the layers above the features; the first is the classifier.
        of_a_twin: accept the file of another model with the same layers, such as a real-valued
            variant.

    Returns:
        The file.

    Raises:
        WeightsError: the file or set does not exist, is unavailable, or its features do not fit.
    """
    name = name or catalog_name(model)
    path = _readable_file(weights, name)
    as_a_whole = None  # why a Keras file did not fit as a whole
    if path.suffix == ".npz":
        state = read_npz(path, None if of_a_twin else network_name(model))
    else:
        try:
            load_keras(model, path, named=not of_a_twin)
            return path
        except WeightsError as error:
            as_a_whole = error
        try:
            state = keras_features(model, path, head, named=not of_a_twin)
        except WeightsError:
            raise as_a_whole from None
    own, whole = torch_state(model), state
    if absent := [layer for layer in head if not _of_layer(own, layer)]:
        state = _without(state, absent)
    classifier = head[0]
    theirs, ours = (_classes(each, classifier) for each in (state, own))
    if ours and theirs not in (None, ours):
        if names_a_file(weights):  # no warning for a set's name: the user expects it
            warnings.warn(
                f"'{path.name}' has {theirs} classes, not {ours}: {model.name} gets a new "
                "classifier.",
                stacklevel=2,
            )
        state = _without(state, (classifier,)) | _of_layer(own, classifier)
    if as_a_whole and state is whole:
        raise as_a_whole
    load_torch_state(model, state)
    return path


def catalog_name(model: tf.keras.Model) -> str:
    """Return the catalog's name of a model of this zoo, from its lower-case Keras name.

    Raises:
        WeightsError: the model has another name.
    """
    for row in catalog.rows(origin="zoo"):
        if row.model.casefold() == model.name.casefold():
            return row.model
    raise WeightsError(
        f"'{model.name}' is not a model of `lqz list`: give a name of that list as name=."
    )


def _readable_file(weights: str | Path, name: str) -> Path:
    path = find_weights(weights, name)
    if path.suffix in TORCH_SUFFIXES:
        raise WeightsError(
            f"'{weights}' is a PyTorch file: 'lqz convert {name} {path.name}' imports it."
        )
    return path


def _is_of_larq_zoo(name: str) -> bool:
    return any(row.model == name for row in catalog.rows(origin="larq-zoo"))


def larq_zoo_model(row: catalog.Row, arguments: Mapping[str, Any]) -> tf.keras.Model:
    """Build a model of larq-zoo with one of its weight sets, found and checked like all others.

    Raises:
        WeightsError: the set is unavailable or does not fit.
        ValueError: larq-zoo refuses an argument.
    """
    function = row.function()
    path = find_weights(arguments["weights"], row.model)
    model = function(**{**arguments, "weights": None})
    has_top = arguments.get("include_top", True)
    classes = 1000
    try:
        load_keras(model, path, named=False)
        return model
    except WeightsError:
        classes = last_size(path) or classes
        if has_top and arguments.get("num_classes", 1000) == classes:
            raise
    # For another number of classes, load everything except the classifier.
    full = function(weights=None, num_classes=classes)
    load_keras(full, path, named=False)
    own, values = model.get_weights(), full.get_weights()
    features = len(own) - (2 if has_top else 0)  # without the classifier's kernel and bias
    shapes = [[value.shape for value in each[:features]] for each in (own, values)]
    if shapes[0] != shapes[1]:
        raise WeightsError(
            f"The weights '{arguments['weights']}' do not fit {row.model} with these arguments."
        )
    model.set_weights([*values[:features], *own[features:]])
    return model


def _of_layer(state: Mapping[str, np.ndarray], layer: str) -> dict[str, np.ndarray]:
    return {key: value for key, value in state.items() if key.startswith(f"{layer}.")}


def _without(state: Mapping[str, np.ndarray], layers: Sequence[str]) -> dict[str, np.ndarray]:
    return {
        key: value
        for key, value in state.items()
        if not any(key.startswith(f"{layer}.") for layer in layers)
    }


def classes_of(path: Path, name: str, classifier: str) -> int | None:
    """Return the number of classes of a weights file; None if unknown.

    Args:
        path: the file of weights.
        name: the model's name in the catalog.
        classifier: the name of the classifier layer.

    Raises:
        WeightsError: the file cannot be read or belongs to another model.
    """
    if path.suffix == ".npz":
        return _classes(read_npz(path, name.lower()), classifier)
    return None if path.suffix in TORCH_SUFFIXES else classifier_size(path, classifier)


def _classes(state: Mapping[str, np.ndarray], classifier: str) -> int | None:
    kernel = state.get(f"{classifier}.weight")
    return None if kernel is None else len(kernel)


def _no_such_set(weights: str, name: str) -> str:
    sets: list[WeightSet] = records_of(name)
    known = (
        f"registered sets: {', '.join(each.name for each in sets)}"
        if sets
        else ("no set is registered for it")
    )
    return (
        f"There are no weights '{weights}' for {name} ({known}); give None for random weights, "
        "or a file."
    )
