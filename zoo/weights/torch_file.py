"""PyTorch's files: read without PyTorch and without executing anything in them, written with it."""

from __future__ import annotations

import collections
import contextlib
import io
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from zoo.errors import FileError, WeightsError, printable
from zoo.extras import module_of
from zoo.untrusted.archives import one_line
from zoo.untrusted.opening import open_regular, require_memory
from zoo.weights._torch_format import TorchFile, open_file
from zoo.weights._torch_names import Refused, Tensor
from zoo.weights.torch_layout import entries

# Under which names training scripts put the weights beside epoch, optimizer and so on.
WRAPPERS = ("state_dict", "model_state_dict", "model", "net", "weights")
PREFIXES = ("module.", "_orig_mod.")
COUNTER = ".num_batches_tracked"
HTML = re.compile(rb"\s*<(!doctype|html|\?xml)", re.IGNORECASE)


def read(path: Path) -> dict[str, np.ndarray]:
    """The weights in a PyTorch file, by the authors' key names.

    Takes both formats (before 1.6 and since: a zip), weights wrapped in a training script's
    dictionary, and keys with the prefix of DataParallel.

    Nothing in the file is executed, and PyTorch is not needed: tensors, dictionaries, lists,
    numbers and words are read, everything else is refused by its name.

    Returns:
        Arrays of whole numbers or truth values as they are, others as float32.

    Raises:
        WeightsError: the file is no PyTorch file, is damaged, or holds more than plain numbers.
    """
    file = _open(path)
    tensors = _unwrapped(file.content, path)
    for prefix in PREFIXES:
        if all(key.startswith(prefix) for key in tensors):
            tensors = {key.removeprefix(prefix): value for key, value in tensors.items()}
    total = sum(each.size * max(each.storage.dtype.itemsize, 4) for each in tensors.values())
    try:
        # A few numbers, repeated by strides of 0, would fill the memory.
        require_memory(total, path)
        return {key: _plain(file.array(value)) for key, value in tensors.items()}
    except FileError as error:
        raise WeightsError(str(error)) from error
    except Exception as error:  # a checksum that is wrong, a file that is gone
        raise WeightsError(
            f"'{path}' is not a readable PyTorch file, or cut short: {one_line(error)}."
        ) from error


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
    torch = module_of("convert", f"Writing '{path.name}'")
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


def _open(path: Path) -> TorchFile:
    try:
        with open_regular(path) as file:
            start = file.read(64)
        if not start:
            raise WeightsError(f"'{path}' is empty.")
        if HTML.match(start):
            raise WeightsError(
                f"'{path}' is a web page, not a PyTorch file: open it in a browser to get the file."
            )
        return open_file(path)
    except WeightsError:
        raise
    except FileError as error:
        raise WeightsError(str(error)) from error
    except Refused as error:
        raise WeightsError(
            f"'{path}' holds more than numbers: it needs '{one_line(error)}', which is refused."
        ) from error
    except Exception as error:  # whatever zipfile, pickletools and NumPy make of damaged bytes
        if isinstance(error, OSError) and error.errno is not None:
            raise WeightsError(f"'{path}' cannot be read: {error.strerror}.") from error
        raise WeightsError(
            f"'{path}' is not a readable PyTorch file, or cut short: {one_line(error)}."
        ) from error


def _unwrapped(loaded: Any, path: Path) -> dict[str, Tensor]:
    """The mapping of names to tensors in what a training script saved."""

    def is_state(value: Any) -> bool:
        return (
            isinstance(value, dict) and bool(value)
            and all(isinstance(key, str) and isinstance(each, Tensor)
                    for key, each in value.items())
        )  # fmt: skip

    if is_state(loaded):
        return loaded
    if isinstance(loaded, dict):
        for name in WRAPPERS:
            if is_state(loaded.get(name)):
                return loaded[name]
        names = [printable(key, 40) for key in loaded if isinstance(key, str)]
        held = ", ".join(names[:8]) or "nothing"
        raise WeightsError(f"'{path}' holds no weights, only {held}.")
    raise WeightsError(f"'{path}' holds no weights, but a {type(loaded).__name__}.")


def _plain(value: np.ndarray) -> np.ndarray:
    if value.dtype.kind in "iub":
        return np.asarray(value, order="C")
    with np.errstate(over="ignore"):  # infinity is refused where it is put into a model
        return np.asarray(value, "float32", order="C")
