"""PyTorch's files, read without executing anything in them, and written. Needs torch."""

from __future__ import annotations

import collections
import pickle
import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from zoo.errors import WeightsError
from zoo.pretrained.cache import write_file
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


def read(path: Path, model: tf.keras.Model | None = None) -> dict[str, np.ndarray]:
    """The weights in a PyTorch file, by the authors' key names.

    Takes both formats (before 1.6 and since: a zip), weights wrapped in a training script's
    dictionary, and keys with the prefix of DataParallel.

    Args:
        path: the file.
        model: for whom they are: counters of batch norm, which files of PyTorch before 0.4.1 lack
            and nothing uses, are then added.

    Raises:
        WeightsError: torch is not installed; the file is no PyTorch file, is damaged, or holds
            more than plain numbers.
    """
    torch = require_torch(f"Reading '{path.name}'")
    loaded = _load(torch, path)
    tensors = _unwrapped(torch, loaded, path)
    for prefix in PREFIXES:
        if all(key.startswith(prefix) for key in tensors):
            tensors = {key.removeprefix(prefix): value for key, value in tensors.items()}
    state = {key: _array(torch, key, value, path) for key, value in tensors.items()}
    if model is not None and not any(key.endswith(COUNTER) for key in state):
        counters = (each.key for each in entries(model) if each.key.endswith(COUNTER))
        state |= {key: np.zeros((), "int64") for key in counters}
    return state


def write(state: Mapping[str, np.ndarray], path: Path) -> None:
    """Write a `state_dict` that PyTorch reads with `torch.load(path, weights_only=True)`.

    Raises:
        WeightsError: torch is not installed, or the file cannot be written.
    """
    torch = require_torch(f"Writing '{path.name}'")
    tensors = {key: torch.from_numpy(np.array(value)) for key, value in state.items()}
    if not path.parent.is_dir():
        raise WeightsError(f"'{path}' cannot be written: there is no folder {path.parent}.")
    write_file(path, lambda file: torch.save(collections.OrderedDict(tensors), file))


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
        name = UNSUPPORTED.search(str(error))
        if name or ("weights_only" in str(error).lower() and "GLOBAL" in str(error)):
            what = f"'{name[1]}'" if name else "something"
            raise WeightsError(
                f"'{path}' holds more than numbers: reading it would call {what}, which is refused."
            ) from error
        raise WeightsError(f"'{path}' is not a readable PyTorch file: damaged or cut short.") from (
            error
        )
    except (OSError, RuntimeError, ValueError, EOFError, KeyError, IndexError, AttributeError,
            TypeError, AssertionError, OverflowError, MemoryError, ImportError, UnicodeDecodeError,
            NotImplementedError, zipfile.BadZipFile) as error:  # fmt: skip
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
