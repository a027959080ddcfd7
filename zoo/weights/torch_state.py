"""Exchange weights with the authors' PyTorch code, as mappings from key to array."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from zoo.adapters.larq import latent_variable
from zoo.errors import WeightsError, printable
from zoo.weights.torch_layout import Entry, entries

_MOST_NAMED = 8


def load_torch_state(model: tf.keras.Model, state: Mapping[str, np.ndarray]) -> None:
    """Set every variable of `model` from a state_dict of the authors' code.

    Either every key is used and every variable is set, or nothing is changed. Depending on the key,
    kernels may be OIHW or flat (the authors store some flat).

    Args:
        model: a model of this zoo, of either stage, with or without its classifier.
        state: arrays by the authors' keys; convolutions OIHW, dense layers (out, in).

    Raises:
        WeightsError: keys are missing or left over, a shape differs, or a value is not finite.
    """
    state = {key: np.asarray(value) for key, value in state.items()}
    words = [key for key, value in state.items() if value.dtype.kind not in "fiub"]
    if words:
        raise WeightsError(f"These weights are not plain numbers: {_first(words)}.")
    wanted = entries(model)
    matched: list[tuple[Entry, str]] = []
    missing: list[str] = []
    for entry in wanted:
        key = next((key for key in (entry.key, *entry.also) if key in state), None)
        if key is None:
            missing.append(entry.key)
        else:
            matched.append((entry, key))
    extra = sorted(set(state) - {key for _, key in matched})
    if missing or extra:
        raise WeightsError(
            f"These weights do not belong to {model.name}: {_named('missing', missing)}; "
            f"{_named('left over', extra)}."
        )

    wrong = [
        f"{key} is {state[key].shape}, not {entry.shape}"
        for entry, key in matched
        if state[key].shape not in (entry.shape, entry.oihw, _flat(entry))
    ]
    if wrong:
        raise WeightsError(
            f"These weights do not fit {model.name} (another class count, width or input size?): "
            f"{_first(wrong)}."
        )
    with np.errstate(over="ignore"):  # a finite number in the file may overflow in the variable
        broken = [
            key
            for entry, key in matched
            if entry.variable is not None
            and not np.all(np.isfinite(state[key].astype(entry.variable.dtype.as_numpy_dtype)))
        ]
    if broken:
        raise WeightsError(f"These weights hold NaN or infinity: {_first(broken)}.")
    for entry, key in matched:
        if entry.variable is not None:
            entry.variable.assign(entry.to_keras(state[key]))


def torch_state(model: tf.keras.Model) -> dict[str, np.ndarray]:
    """Return the state_dict of the authors' code for `model`: inverse of `load_torch_state`.

    Returns:
        Arrays by key. Values that the authors' network stores but never uses are zero; the counter
        `num_batches_tracked` is an int64 scalar 0.
    """
    state = {}
    for entry in entries(model):
        if entry.variable is None:
            counter = entry.key.endswith("num_batches_tracked")
            state[entry.key] = np.zeros(entry.shape, "int64" if counter else "float32")
        else:
            state[entry.key] = entry.to_torch(latent(entry.variable))
    return state


def latent(variable: tf.Variable) -> np.ndarray:
    """Return the stored value of a variable, not quantized even if larq wraps a binary kernel."""
    return latent_variable(variable).numpy()


def _flat(entry: Entry) -> tuple[int, int] | None:
    return (int(np.prod(entry.oihw)), 1) if entry.oihw else None


def _named(what: str, keys: list[str]) -> str:
    return f"{len(keys)} {what} ({_first(keys)})" if keys else f"none {what}"


def _first(items: list[str]) -> str:
    more = f", and {len(items) - _MOST_NAMED} more" if len(items) > _MOST_NAMED else ""
    return ", ".join(map(printable, items[:_MOST_NAMED])) + more


def unused(model: tf.keras.Model, state: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the entries of the authors' state_dict that no variable uses: counters, layers."""
    wanted = {entry.key: entry.shape for entry in entries(model) if entry.variable is None}
    found = {key: np.asarray(state[key]) for key in wanted if key in state}
    return {
        key: value
        for key, value in found.items()
        if value.shape == wanted[key] and value.dtype.kind in "fiub"
    }
