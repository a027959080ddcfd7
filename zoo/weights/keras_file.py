"""Read Keras's files of weights, .h5 and .keras. Nothing in them is executed."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np
import tensorflow as tf

from zoo.errors import FileError, WeightsError, printable
from zoo.untrusted.archives import one_line
from zoo.untrusted.models import KerasFile, load_keras_model, open_keras
from zoo.weights.torch_state import latent, torch_state


def load_keras(model: tf.keras.Model, path: Path, *, named: bool = True) -> None:
    """Set the weights of `model` from Keras's .h5 or .keras, layer by layer in order.

    Args:
        model: the model.
        path: the file.
        named: require the name of `model` in the file, or the names of its layers if the file
            holds only weights. Use False for larq-zoo: its layers' names change from process to
            process.

    Raises:
        WeightsError: it is no such file, does not fit, or holds NaN; the model is unchanged.
    """
    with readable(path), open_keras(path) as file:
        if named:
            try:
                _check_names(model, file, path)
            except (KeyError, TypeError, ValueError) as error:
                raise _no_fit(model, path, error) from error
    before = model.get_weights()
    try:
        model.load_weights(str(path))
        broken = [v.name for v in model.weights if not np.all(np.isfinite(latent(v)))]
        if broken:
            raise WeightsError(f"'{path}' holds NaN or infinity: {broken[0]}.")
    except WeightsError:
        model.set_weights(before)
        raise
    except (OSError, RuntimeError, zipfile.BadZipFile) as error:
        model.set_weights(before)
        raise no_weights(path, error) from error
    except Exception as error:  # h5py and Keras raise many kinds
        model.set_weights(before)  # Keras may have set some layers already
        raise _no_fit(model, path, error) from error


def keras_features(
    model: tf.keras.Model, path: Path, head: Sequence[str], *, named: bool = True
) -> dict[str, np.ndarray]:
    """Return the state of a network like `model` from a file that may have another head.

    Args:
        model: a model of this zoo; it is not changed.
        path: the file.
        head: the layers that may differ.
        named: whether the file's model must have the name of `model`.

    Returns:
        Arrays by the authors' keys (`zoo.weights.torch_state`).

    Raises:
        WeightsError: the features do not fit, or it is no such file.
    """
    with readable(path), open_keras(path) as file:
        if file.architecture is None:
            group = file.weights.get("model_weights", file.weights)
            if "layer_names" not in group.attrs:
                raise WeightsError(
                    f"'{printable(str(path))}' holds weights without layer names, which can only "
                    f"be loaded into a {model.name} with the same classes: save the whole model "
                    "(.keras), or an .npz."
                )
            return _by_layer(model, group, head, path)
    try:
        whole = load_keras_model(path, compile=False)
    except FileError as error:
        raise WeightsError(str(error)) from error
    if named and whole.name != model.name:
        raise _of_another(path, printable(whole.name), model)
    try:
        return torch_state(whole)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise _no_fit(model, path, error) from error


def _by_layer(
    model: tf.keras.Model, group: h5py.Group, head: Sequence[str], path: Path
) -> dict[str, np.ndarray]:
    """Return `keras_features` of an HDF5 file that names its layers."""
    found = {}
    for name in map(_text, group.attrs["layer_names"]):
        layer = group[name]
        values = [np.asarray(layer[_text(each)]) for each in layer.attrs["weight_names"]]
        if values:
            found[name] = values
    twin = tf.keras.models.clone_model(model)
    twin_layers = {layer.name: layer for layer in twin.layers if layer.weights}
    if alien := [name for name in found if name not in twin_layers and name not in head]:
        raise _of_another(path, f"another model (layer {printable(alien[0])})", model)
    others: dict[str, np.ndarray] = {}  # layers of the head with other shapes
    for name, layer in twin_layers.items():
        theirs = found.get(name)
        shapes = [tuple(each.shape) for each in layer.weights]
        if theirs is not None and [each.shape for each in theirs] == shapes:
            layer.set_weights(theirs)
        elif theirs is not None and name in head:
            others[f"{name}.weight"] = theirs[0].T
        else:
            raise WeightsError(
                f"The weights in '{printable(str(path))}' do not fit {model.name}: those of layer "
                f"{name} are missing or have other shapes."
            )
    replaced = {key.rpartition(".")[0] for key in others}
    state = torch_state(twin)
    return {k: v for k, v in state.items() if k.rpartition(".")[0] not in replaced} | others


def classifier_size(path: Path, classifier: str) -> int | None:
    """Return the number of classes of the network in a Keras file; None if unknown.

    Args:
        path: the file.
        classifier: the name of the classifier layer.

    Raises:
        WeightsError: it is no such file.
    """
    with readable(path), open_keras(path) as file:
        if file.architecture is not None:
            config = file.architecture.get("config")
            layers = config.get("layers", ()) if isinstance(config, dict) else ()
            units = [
                each["config"].get("units")
                for each in layers
                if isinstance(each, dict)
                and isinstance(each.get("config"), dict)
                and each["config"].get("name") == classifier
            ]
            return units[0] if units and isinstance(units[0], int) else None
        group = file.weights.get("model_weights", file.weights)
        layer = group.get(classifier)
        names = [] if layer is None else [_text(each) for each in layer.attrs["weight_names"]]
        return int(layer[names[-1]].shape[-1]) if names else None


def last_size(path: Path) -> int | None:
    """Return the length of the last array of a file with layers in order.

    For larq-zoo's models, which have no fixed names of layers, this is the number of classes.
    """
    with readable(path), open_keras(path) as file:
        group = file.weights.get("model_weights", file.weights)
        for name in reversed([_text(each) for each in group.attrs.get("layer_names", ())]):
            weights = [_text(each) for each in group[name].attrs["weight_names"]]
            if weights:
                return int(group[name][weights[-1]].shape[-1])
    return None


def check_keras(path: Path) -> None:
    """Do `check_weights` for a file that must be in a format of Keras."""
    with readable(path), open_keras(path):
        pass


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turn the errors of reading a file's structure into WeightsError."""
    try:
        yield
    except FileError as error:
        raise WeightsError(str(error)) from error
    except (OSError, RuntimeError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise no_weights(path, error) from error


def no_weights(path: Path, error: Exception) -> WeightsError:
    return WeightsError(
        f"'{printable(str(path))}' cannot be read as weights (.npz, .h5 or .keras): "
        f"{one_line(error)}."
    )


def _no_fit(model: tf.keras.Model, path: Path, error: Exception) -> WeightsError:
    return WeightsError(
        f"The weights in '{printable(str(path))}' do not fit {model.name}: {one_line(error)}."
    )


def _check_names(model: tf.keras.Model, file: KerasFile, path: Path) -> None:
    """Refuse a file of another model, by its names.

    Order and shapes of layers are not enough: larq-zoo's Bi-Real Net has the same as the authors',
    but pads differently.
    """
    if file.architecture is not None:
        found, own = file.architecture["config"]["name"], model.name
    else:
        group = file.weights.get("model_weights", file.weights)
        if "layer_names" not in group.attrs:
            return  # a *.weights.h5 has no names of layers
        names = map(_text, group.attrs["layer_names"])
        found = [name for name in names if len(group[name].attrs["weight_names"])]
        own = [layer.name for layer in model.layers if layer.weights]
    if found == own:
        return
    if isinstance(found, str):
        whose = printable(found)
    else:
        alien = [name for name in found if name not in own] or [
            name for name in own if name not in found
        ]
        whose = f"another model (layer {printable((alien or found or own)[0])})"
    raise _of_another(path, whose, model)


def _of_another(path: Path, whose: str, model: tf.keras.Model) -> WeightsError:
    return WeightsError(
        f"'{printable(str(path))}' holds weights of {whose}, which do not belong to {model.name}."
    )


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
