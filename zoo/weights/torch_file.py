"""PyTorch's files, read without executing anything in them, and written. Needs torch."""

from __future__ import annotations

import collections
import contextlib
import io
import os
import pickle
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from zoo.errors import WeightsError
from zoo.pretrained.extra import require_torch
from zoo.weights._torch_layout import entries
from zoo.weights.files import check_zip, one_line

# Under which names training scripts put the weights beside epoch, optimizer and so on.
WRAPPERS = ("state_dict", "model_state_dict", "model", "net", "weights")
PREFIXES = ("module.", "_orig_mod.")
COUNTER = ".num_batches_tracked"
# What torch says of a pickle that would call something.
UNSUPPORTED = re.compile(r"unsupported global\W*(?:global )?([\w.]+)", re.IGNORECASE)
HTML = re.compile(rb"\s*<(!doctype|html|\?xml)", re.IGNORECASE)


def read(path: Path) -> dict[str, np.ndarray]:
    """The weights in a PyTorch file, by the authors' key names.

    Takes both formats (before 1.6 and since: a zip), weights wrapped in a training script's
    dictionary, and keys with the prefix of DataParallel.

    Raises:
        WeightsError: torch is not installed; the file is no PyTorch file, is damaged, or holds
            more than plain numbers.
    """
    torch = require_torch(f"Reading '{path.name}'")
    tensors = _unwrapped(torch, _load(torch, path), path)
    for prefix in PREFIXES:
        if all(key.startswith(prefix) for key in tensors):
            tensors = {key.removeprefix(prefix): value for key, value in tensors.items()}
    return {key: _array(torch, key, value, path) for key, value in tensors.items()}


def with_counters(
    state: Mapping[str, np.ndarray], model: tf.keras.Model
) -> Mapping[str, np.ndarray]:
    """`state` with batch norm's counters, which PyTorch before 0.4.1 did not write and none use."""
    if any(key.endswith(COUNTER) for key in state):
        return state
    counters = (each.key for each in entries(model) if each.key.endswith(COUNTER))
    return {**state, **{key: np.zeros((), "int64") for key in counters}}


def write(state: Mapping[str, np.ndarray], path: Path) -> None:
    """Write a `state_dict` that PyTorch reads with `torch.load(path, weights_only=True)`.

    Raises:
        WeightsError: torch is not installed, or the file cannot be written.
    """
    torch = require_torch(f"Writing '{path.name}'")
    tensors = {key: torch.from_numpy(np.array(value)) for key, value in state.items()}
    content = io.BytesIO()
    torch.save(collections.OrderedDict(tensors), content)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        if path.exists() and not path.is_file():
            raise WeightsError(f"'{path}' cannot be written: it is no plain file.")
        draft.write_bytes(content.getbuffer())
        draft.replace(path)
    except OSError as error:
        raise WeightsError(f"'{path}' cannot be written: {error.strerror}.") from error
    finally:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)


def _load(torch: Any, path: Path) -> Any:
    try:
        with path.open("rb") as file:
            start = file.read(64)
        if not start:
            raise WeightsError(f"'{path}' is empty.")
        if HTML.match(start):
            raise WeightsError(
                f"'{path}' is a web page, not a PyTorch file: open it in a browser to get the file."
            )
        if start[:2] == b"PK":
            check_zip(path)
        # Scripts that keep the best accuracy as a NumPy scalar need these three; they hold numbers.
        scalars = [np.dtype, np.float32, np.float64, type(np.dtype("f4")), type(np.dtype("f8"))]
        number = np.core.multiarray.scalar  # type: ignore[attr-defined]
        names = [(number, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")]
        with warnings.catch_warnings(), torch.serialization.safe_globals([*scalars, *names]):
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
    except WeightsError:
        raise
    except pickle.UnpicklingError as error:
        if name := UNSUPPORTED.search(str(error)):
            raise WeightsError(
                f"'{path}' holds more than numbers: reading it would call '{name[1]}', which is "
                "refused."
            ) from error
        raise WeightsError(f"'{path}' is not a readable PyTorch file.") from error
    except Exception as error:  # whatever zipfile, pickle and torch make of damaged bytes
        if isinstance(error, OSError) and error.errno is not None:
            raise WeightsError(f"'{path}' cannot be read: {error.strerror}.") from error
        raise WeightsError(
            f"'{path}' is not a readable PyTorch file, or cut short: {one_line(error)}."
        ) from error


def _unwrapped(torch: Any, loaded: Any, path: Path) -> dict[str, Any]:
    """The mapping of names to tensors in what a training script saved."""

    def is_state(value: Any) -> bool:
        return (
            isinstance(value, Mapping) and bool(value)
            and all(isinstance(key, str) and torch.is_tensor(each) for key, each in value.items())
        )  # fmt: skip

    if is_state(loaded):
        return dict(loaded)
    if isinstance(loaded, Mapping):
        for name in WRAPPERS:
            if is_state(loaded.get(name)):
                return dict(loaded[name])
        held = ", ".join(str(key) for key in list(loaded)[:8]) or "nothing"
        raise WeightsError(f"'{path}' holds no weights, only {held}.")
    raise WeightsError(f"'{path}' holds no weights, but a {type(loaded).__name__}.")


def _array(torch: Any, key: str, value: Any, path: Path) -> np.ndarray:
    if value.layout is not torch.strided or value.is_quantized or value.is_complex():
        raise WeightsError(
            f"'{path}' is not plain numbers: {key} is {value.dtype}, {value.layout}."
        )
    value = value.detach()
    if value.numel() * value.element_size() > value.untyped_storage().nbytes():
        # A few bytes that claim to be a large array would fill the memory.
        raise WeightsError(f"'{path}' is damaged: {key} is larger than what the file holds of it.")
    return (value.float() if value.is_floating_point() else value).numpy()
