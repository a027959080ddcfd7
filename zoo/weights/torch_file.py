"""Read PyTorch's files without PyTorch and without executing their content; write with PyTorch."""

from __future__ import annotations

import collections
import io
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from zoo.errors import FileError, UnknownNameError, WeightsError, printable
from zoo.extras import module_of
from zoo.files import write_atomically
from zoo.untrusted.archives import one_line
from zoo.untrusted.opening import open_regular, require_memory
from zoo.weights._torch_format import TorchFile, open_file
from zoo.weights._torch_names import Refused, Tensor
from zoo.weights.torch_layout import entries

# Keys of the weights in files of training scripts, which also hold epoch, optimizer and so on; then
# the keys of averaged weights.
WRAPPERS = (
    "state_dict",
    "model_state_dict",
    "model",
    "net",
    "network",
    "module",
    "weights",
    "params",
)
AVERAGED = re.compile(r"(?<![a-z])(?:ema|swa)(?![a-z])|averag|shadow", re.IGNORECASE)
# Prefixes of DataParallel and AveragedModel, of torch.compile, and of training modules.
PREFIXES = ("module.", "_orig_mod.", "model.", "net.", "network.", "ema_model.")
AVERAGES = "n_averaged"  # AveragedModel's counter
MOST_NESTED = 5
COUNTER = ".num_batches_tracked"
HTML = re.compile(rb"\s*<(!doctype|html|\?xml)", re.IGNORECASE)


@dataclass(frozen=True)
class Taken:
    """The weights in a PyTorch file.

    Attributes:
        state: arrays by the authors' keys: integers and booleans unchanged, others as float32.
        entry: name of the file's entry with these weights; "" if the file holds nothing else.
        others: the file's other entries with weights, such as averaged ones.
    """

    state: dict[str, np.ndarray]
    entry: str
    others: tuple[str, ...]


def read(path: Path) -> dict[str, np.ndarray]:
    """Return the weights in a PyTorch file by the authors' keys: `read_entry(path).state`."""
    return read_entry(path).state


def read_entry(path: Path, entry: str | None = None) -> Taken:
    """Return the weights in a PyTorch file, and the name of their entry.

    It reads both formats (the old one, and a zip since 1.6). Weights may be inside the dictionaries
    of a training script, and keys may have the prefixes of DataParallel, torch.compile and others,
    in any order.

    Nothing in the file is executed, and PyTorch is not needed. Tensors, dictionaries, lists,
    numbers and strings are read; everything else is refused by name.

    Args:
        path: the file.
        entry: name of the entry with the weights, such as "state_dict_ema"; the default is the
            trained weights, not their averages.

    Raises:
        WeightsError: the file is not a PyTorch file, is damaged, holds objects other than plain
            data, or has no such entry.
    """
    file = _open(path)
    found = _states(file.content)
    taken = _chosen(found, entry, file.content, path)
    tensors = _without_prefixes(found[taken])
    total = sum(each.size * max(each.storage.dtype.itemsize, 4) for each in tensors.values())
    try:
        # With strides of 0, a few numbers could be repeated until they fill the memory.
        require_memory(total, path)
        state = {key: _plain(file.array(value)) for key, value in tensors.items()}
    except FileError as error:
        raise WeightsError(str(error)) from error
    except Exception as error:  # such as a wrong checksum or a removed file
        raise WeightsError(
            f"'{path}' is not a readable PyTorch file, or truncated: {one_line(error)}."
        ) from error
    return Taken(state, taken, tuple(name for name in found if name != taken))


def with_counters(
    state: Mapping[str, np.ndarray], model: tf.keras.Model
) -> Mapping[str, np.ndarray]:
    """Add batch norm's counters to `state`: PyTorch before 0.4.1 did not write them."""
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
    try:
        if path.exists() and not path.is_file():
            raise WeightsError(f"'{path}' cannot be written: it is not a regular file.")
        write_atomically(path, lambda file: file.write(content.getbuffer()))
    except OSError as error:
        raise WeightsError(f"'{path}' cannot be written: {error.strerror}.") from error


def _open(path: Path) -> TorchFile:
    try:
        with open_regular(path) as file:
            start = file.read(64)
        if not start:
            raise WeightsError(f"'{path}' is empty.")
        if HTML.match(start):
            raise WeightsError(
                f"'{path}' is a web page, not a PyTorch file: open it in a browser and download "
                "the file from there."
            )
        return open_file(path)
    except WeightsError:
        raise
    except FileError as error:
        raise WeightsError(str(error)) from error
    except Refused as error:
        raise WeightsError(
            f"'{path}' holds more than numbers: it contains '{one_line(error)}', which is refused."
        ) from error
    except Exception as error:  # zipfile, pickletools and NumPy raise many kinds
        if isinstance(error, OSError) and error.errno is not None:
            raise WeightsError(f"'{path}' cannot be read: {error.strerror}.") from error
        raise WeightsError(
            f"'{path}' is not a readable PyTorch file, or truncated: {one_line(error)}."
        ) from error


def _states(loaded: Any) -> dict[str, dict[str, Tensor]]:
    """Return every mapping of names to tensors in a training script's file, by dotted name."""
    found: dict[str, dict[str, Tensor]] = {}
    seen: set[int] = set()  # a file may hold the same dictionary in many places

    def look(value: Any, name: str, depth: int) -> None:
        if not isinstance(value, dict) or depth > MOST_NESTED or id(value) in seen:
            return
        seen.add(id(value))
        if value and all(isinstance(k, str) and isinstance(v, Tensor) for k, v in value.items()):
            found[name] = value
            return
        for key, each in value.items():
            if isinstance(key, str) and key.casefold() not in ("optimizer", "scheduler"):
                look(each, f"{name}.{key}" if name else key, depth + 1)

    look(loaded, "", 0)
    return found


def _chosen(found: Mapping[str, Any], entry: str | None, loaded: Any, path: Path) -> str:
    """Return the name of the entry to use."""
    if entry is not None:
        if entry not in found:
            where = f"entry with weights in '{printable(str(path))}'"
            raise UnknownNameError(where, entry, [printable(each, 60) for each in found])
        return entry
    if not found:
        if not isinstance(loaded, dict):
            raise WeightsError(f"'{path}' does not hold weights but a {type(loaded).__name__}.")
        names = [printable(key, 40) for key in loaded if isinstance(key, str)]
        held = ", ".join(names[:8]) or "nothing"
        raise WeightsError(f"'{path}' holds no weights, only {held}.")

    def rank(name: str) -> tuple[bool, int, int]:
        """Sort key: first weights that are not averages, then known names, then the largest."""
        words = name.split(".")
        known = [WRAPPERS.index(word) for word in words if word in WRAPPERS]
        return bool(AVERAGED.search(name)), min(known, default=len(WRAPPERS)), -len(found[name])

    best = min(found, key=rank)
    if best and not rank(best)[0] and rank(best)[1] == len(WRAPPERS):
        # The name is unknown, so it may belong to an optimizer.
        held = ", ".join(printable(name, 40) for name in list(found)[:8])
        raise WeightsError(f"'{path}' holds no weights, only {held}.")
    return best


def _without_prefixes(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors by the network's keys: remove all prefixes, also repeated ones."""
    state = dict(tensors)
    while True:
        keys = [key for key in state if key != AVERAGES]
        prefix = next(
            (each for each in PREFIXES if keys and all(key.startswith(each) for key in keys)), None
        )
        if prefix is None:
            return state
        state.pop(AVERAGES, None)
        state = {key.removeprefix(prefix): value for key, value in state.items()}


def _plain(value: np.ndarray) -> np.ndarray:
    if value.dtype.kind in "iub":
        return np.asarray(value, order="C")
    with np.errstate(over="ignore"):  # infinity is refused when it is loaded into a model
        return np.asarray(value, "float32", order="C")
