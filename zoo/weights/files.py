"""Read and write this project's files of weights, .npz. Nothing in them is executed."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import tensorflow as tf

from zoo.card import NetworkCard, card_from_json
from zoo.errors import FileError, WeightsError, printable
from zoo.files import write_atomically
from zoo.untrusted import archives
from zoo.untrusted.archives import one_line, read_npz_arrays
from zoo.untrusted.opening import open_regular, require_memory
from zoo.weights.keras_file import check_keras, readable
from zoo.weights.packed import PACKED, binary_kernels, pack, unpack
from zoo.weights.torch_layout import network_name
from zoo.weights.torch_state import torch_state

MODEL = "zoo.model"  # entry with the model's Keras name
CARD = "zoo.card"  # entry with the network's card, as bytes of JSON
TORCH_SUFFIXES = (".pt", ".pth", ".tar", ".ckpt", ".bin")
UNUSED = "zoo.unused/"  # prefix of entries of PyTorch's file that no variable uses


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray], *, compressed: bool = False) -> None:
    """Write an .npz; after a failure there is no file."""
    # Write it in memory first: on a full disk, a ZipFile would print an error when deleted.
    content = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(content, **arrays)  # type: ignore[arg-type]
    write_atomically(path, lambda file: file.write(content.getbuffer()))


def write_npz(
    model: tf.keras.Model,
    path: Path,
    unused: Mapping[str, np.ndarray] | None = None,
    *,
    packed: bool = False,
    card: NetworkCard | None = None,
) -> None:
    """Write the state of a model of this zoo, with its name.

    Args:
        model: the model.
        path: the file.
        unused: arrays of PyTorch's file that no variable uses, such as batch norm's counters.
        packed: whether to write one bit per binary weight (`zoo.weights.packed`).
        card: description of how to use the network; it is stored in the file.
    """
    name = {MODEL: np.array(network_name(model))}
    if card is not None:
        name[CARD] = np.frombuffer(json.dumps(card.to_json()).encode(), np.uint8)
    more = {f"{UNUSED}{key}": value for key, value in (unused or {}).items()}
    if packed:
        write_arrays(path, {**name, **pack(model, more)}, compressed=True)
    else:
        write_arrays(path, {**torch_state(model), **name, **more})


def write_packed(model: tf.keras.Model, path: Path, card: NetworkCard | None = None) -> bool:
    """Write a packed set of a model with binary kernels; return False if it has none."""
    if not binary_kernels(model):
        return False
    write_npz(model, path, packed=True, card=card)
    return True


def is_packed(path: Path) -> bool:
    """Return whether the file is a packed set; its content may still be damaged."""
    try:
        with archives.open_zip(path) as archive:
            return f"{PACKED}.npy" in archive.namelist()
    except (FileError, OSError, zipfile.BadZipFile):
        return False


def read_npz(path: Path, model: str | None = None) -> dict[str, np.ndarray]:
    """Return the arrays of an .npz.

    Args:
        path: the file.
        model: the Keras name of the model that must be in the file. BiRealNet20 and RealResNet20
            have the same keys and shapes, so only the name in the file distinguishes them.

    Raises:
        WeightsError: it is not an .npz, is damaged, holds anything other than plain arrays, or
            belongs to another model.
    """
    state = read_arrays(path)
    state.pop(CARD, None)
    named = state.pop(MODEL, np.array(model))
    if model is not None and (named.ndim or str(named) != model):
        raise WeightsError(
            f"'{path}' holds weights of {printable(str(named))}, which do not belong to {model}."
        )
    return {key: value for key, value in state.items() if not key.startswith(UNUSED)}


def read_unused(path: Path) -> dict[str, np.ndarray]:
    """Return the argument `unused` of `write_npz`. Raises WeightsError as `read_npz` does."""
    return {
        key.removeprefix(UNUSED): value
        for key, value in read_arrays(path).items()
        if key.startswith(UNUSED)
    }


def describe_npz(path: Path) -> tuple[str | None, NetworkCard | None]:
    """Return the Keras name of an .npz's model, and its card; None if it does not have one.

    Raises:
        WeightsError: as `read_npz` does.
    """
    arrays = read_arrays(path)
    name, card = arrays.get(MODEL), arrays.get(CARD)
    try:
        found = None if card is None else card_from_json(json.loads(card.tobytes()))
    except (ValueError, RecursionError) as error:
        raise WeightsError(
            f"'{printable(str(path))}' is damaged: its class names and preprocessing cannot be "
            "read."
        ) from error
    return None if name is None or name.ndim else str(name), found


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Return all arrays in an .npz, unpacked if it is a packed set.

    Raises:
        WeightsError: the file is not an .npz file, is damaged or unsafe, or holds objects.
    """
    try:
        arrays = read_npz_arrays(path)
        if PACKED not in arrays:
            return arrays
        name = {key: arrays.pop(key) for key in (MODEL, CARD) if key in arrays}
        return {**unpack(arrays, lambda size: require_memory(size, path)), **name}
    except FileError as error:
        raise WeightsError(str(error)) from error
    except Exception as error:  # NumPy and json raise many kinds for damaged sets
        raise WeightsError(
            f"'{printable(str(path))}' is not a readable .npz of weights: {one_line(error)}."
        ) from error


def check_zip(path: Path) -> None:
    """Refuse an unsafe zip. Nothing here unpacks a zip to files.

    Raises:
        WeightsError: it is unsafe.
        OSError, zipfile.BadZipFile: it is not a readable zip.
    """
    try:
        archives.check_zip(path)
    except FileError as error:
        raise WeightsError(str(error)) from error


def check_weights(path: Path) -> None:
    """Refuse a file that is unsafe or not a file of weights, before a model is built for it.

    `zoo.weights.torch_file` checks the content of PyTorch's files.

    Raises:
        WeightsError: the file is refused.
    """
    if path.suffix == ".npz":
        with readable(path):
            archives.read_npz_headers(path)
    elif path.suffix in TORCH_SUFFIXES:
        with readable(path), open_regular(path):
            pass
    else:
        check_keras(path)
