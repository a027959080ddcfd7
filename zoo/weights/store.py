"""Where weights come from: a path, or a registered set.

The format of this project is an `.npz` of the model's state by key (`torch_state`), which holds
plain arrays only: nothing in such a file is ever executed.
"""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import tensorflow as tf

from zoo.catalog import WEIGHT_RECORDS
from zoo.errors import WeightsError
from zoo.weights.torch_state import load_torch_state, torch_state


def save_weights(model: tf.keras.Model, path: str | Path) -> None:
    """Write the state of a model of this zoo to `path`, which must end in .npz."""
    path = Path(path)
    if path.suffix != ".npz":
        raise WeightsError(f"Weights are written as .npz, not '{path.name}'.")
    try:
        np.savez(path, **torch_state(model))  # type: ignore[arg-type]
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise WeightsError(f"'{path}' cannot be written: {reason}.") from error


def load_weights(
    model: tf.keras.Model, weights: str | Path, *, name: str, include_top: bool, num_classes: int
) -> None:
    """Set the weights of `model` from a file or a registered set.

    Args:
        model: the model to set.
        weights: path of an .npz written by `save_weights`, or of Keras's .h5; else a set's name.
        name: the model's name in the catalog.
        include_top, num_classes: how the model was built, for the error message.

    Raises:
        WeightsError: there is no such file or set, or it does not fit.
    """
    path = Path(weights).expanduser()
    if path.is_file():
        _load_file(model, path)
    elif path.is_dir():
        raise WeightsError(f"'{weights}' is a folder, not a weights file.")
    elif path.suffix or len(path.parts) > 1:
        raise WeightsError(f"There is no weights file '{weights}'.")
    else:
        _explain_missing(str(weights), name, include_top, num_classes)


def _load_file(model: tf.keras.Model, path: Path) -> None:
    if path.suffix == ".npz":
        try:
            with np.load(path, allow_pickle=False) as archive:
                state = {key: archive[key] for key in archive.files}
        except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise WeightsError(f"'{path}' is not a readable .npz of weights: {error}.") from error
        load_torch_state(model, state)
        return
    before = model.get_weights()
    try:
        model.load_weights(str(path))
    except (OSError, ValueError, KeyError, ImportError) as error:
        model.set_weights(before)  # Keras sets layer by layer until one does not fit
        reason = str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__
        raise WeightsError(f"The weights in '{path}' do not fit {model.name}: {reason}.") from error


def _explain_missing(weights: str, name: str, include_top: bool, num_classes: int) -> None:
    records = json.loads(WEIGHT_RECORDS.read_text(encoding="utf-8"))
    sets = {record["name"]: record for record in records if record["model"] == name}
    if weights in sets:
        raise WeightsError(
            f"The weights '{weights}' of {name} are not shipped with this package; the authors "
            f"publish them at {sets[weights]['where']}. Use weights=None for random ones."
        )
    known = f"registered sets: {', '.join(sets)}" if sets else "no set is registered for it"
    raise WeightsError(
        f"There are no weights '{weights}' for {name} ({known}); use weights=None for random ones "
        "or the path of a file."
    )
