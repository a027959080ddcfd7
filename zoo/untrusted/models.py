"""Open Keras's files, .keras and .h5: a network with its weights, or only weights."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py

from zoo.errors import FileError, printable
from zoo.untrusted.architecture import (
    check_architecture,
    check_outputs,
    read_architecture,
    variables_within,
)
from zoo.untrusted.archives import one_line, open_zip
from zoo.untrusted.hdf5 import SIGNATURE, checked, count_numbers, open_hdf5
from zoo.untrusted.opening import open_regular, unsafe

if TYPE_CHECKING:
    import tensorflow as tf

SUFFIXES = (".keras", ".h5", ".hdf5")
METADATA, CONFIG, WEIGHTS = "metadata.json", "config.json", "model.weights.h5"
MEMBERS = (METADATA, CONFIG, WEIGHTS)  # the files that Keras 2 writes; others may hold pickles
ZIP = b"PK\x03\x04"


@dataclass(frozen=True)
class KerasFile:
    """An open, checked file.

    Attributes:
        weights: its numbers.
        architecture: JSON of the network, not checked yet; None if the file holds only weights.
        training: JSON of the compilation, in HDF5 files only; else None.
    """

    weights: h5py.File
    architecture: dict[str, Any] | None
    training: dict[str, Any] | None


@contextmanager
def open_keras(path: Path) -> Iterator[KerasFile]:
    """Open a .keras or HDF5 file after checking that its format fits its name and it is safe.

    Raises:
        FileError: it is unsafe, or its name belongs to another format.
        OSError, RuntimeError, zipfile.BadZipFile, KeyError: it is damaged, or another kind of file.
    """
    if path.suffix not in SUFFIXES:
        raise OSError("its name does not end in .keras or .h5")
    with open_regular(path) as file:
        start = file.read(len(SIGNATURE))
    if path.suffix != ".keras":
        with open_hdf5(path) as content:
            yield KerasFile(
                content,
                *(_attribute(content, each, path) for each in ("model_config", "training_config")),
            )
        return
    if start == SIGNATURE:
        raise unsafe(path, "it is an HDF5 file with the ending of another format")
    if not start.startswith(ZIP):
        raise zipfile.BadZipFile("it is not a zip archive, but .keras files are")
    with open_zip(path) as archive:
        _check_members(archive, path)
        architecture = read_architecture(archive.read(CONFIG), path)
        # Read it into memory: seeking back in a member of a zip reads it again from its start.
        with checked(io.BytesIO(archive.read(WEIGHTS)), path) as content:
            yield KerasFile(content, architecture, None)


def _check_members(archive: zipfile.ZipFile, path: Path) -> None:
    """Raise FileError unless an archive holds exactly the members that Keras 2 saves."""
    names = archive.namelist()
    shown = printable(str(path))
    if CONFIG not in names:
        raise FileError(f"'{shown}' is a zip archive, but not a Keras model: it has no {CONFIG}.")
    _require_keras2(_metadata(archive, path).get("keras_version"), path)
    for name in names:
        if name not in MEMBERS:
            raise unsafe(path, f"its member '{printable(name)}' does not belong there")
    if WEIGHTS not in names:
        raise FileError(f"'{shown}' is damaged: it has no {WEIGHTS}.")
    if archive.getinfo(WEIGHTS).compress_type != zipfile.ZIP_STORED:
        raise unsafe(path, f"its member '{WEIGHTS}' is compressed, which Keras never does")


def read_metadata(path: Path) -> dict[str, Any]:
    """Return a .keras file's metadata: Keras's version, and entries added by others.

    Raises:
        FileError: the file is unsafe or damaged.
    """
    try:
        with open_zip(path) as archive:
            return _metadata(archive, path)
    except (OSError, RuntimeError, zipfile.BadZipFile) as error:
        raise FileError(
            f"'{printable(str(path))}' is not a readable model: {one_line(error)}."
        ) from error


def _metadata(archive: zipfile.ZipFile, path: Path) -> dict[str, Any]:
    if METADATA not in archive.namelist():
        return {}
    return read_architecture(archive.read(METADATA), path)


def _require_keras2(version: Any, path: Path) -> None:
    """Raise FileError for a file of a later Keras, which describes layers in another way."""
    if isinstance(version, bytes):
        version = version.decode(errors="replace")
    major = str(version).partition(".")[0]
    if major.isdigit() and int(major) >= 3:
        raise FileError(
            f"'{printable(str(path))}' was saved by Keras {printable(str(version), 20)}, but larq "
            "and this zoo need Keras 2: save the model again from a program that sets "
            "TF_USE_LEGACY_KERAS=1."
        )


def _attribute(content: h5py.File, name: str, path: Path) -> dict[str, Any] | None:
    found = content.attrs.get(name)
    if found is None:
        return None
    if not isinstance(found, (str, bytes)):
        raise FileError(f"The architecture in '{printable(str(path))}' is damaged.")
    return read_architecture(found, path)


def check_model(path: Path, trusted: Collection[str] = (), compile: bool = True) -> int:
    """Check everything in a saved model before any part of it is built.

    Args:
        path: the file.
        trusted: further names of classes and functions that the caller allows.
        compile: whether the model will be compiled as saved; else that part is not checked.

    Returns:
        The number of values in the file.

    Raises:
        FileError: it holds only weights, or something that could run code; and as `open_keras`.
    """
    with open_keras(path) as file:
        if file.architecture is None:
            raise FileError(
                f"'{printable(str(path))}' holds weights without a network: build the model and "
                "give it weights=FILE."
            )
        _require_keras2(file.weights.attrs.get("keras_version"), path)
        looked_at = dict(file.architecture)
        if not compile:
            looked_at.pop("compile_config", None)
        check_architecture(looked_at, path, trusted)
        if compile and file.training:
            check_architecture(file.training, path, trusted)
        return count_numbers(file.weights)


def load_keras_model(path: Path, **arguments: Any) -> tf.keras.Model:
    """Call `tf.keras.models.load_model` for a checked file; no code in it is executed.

    Args:
        path: a .keras or HDF5 file.
        arguments: Keras's `custom_objects` and `compile`.

    Raises:
        FileError: the file is unsafe, or not a readable model.
    """
    import tensorflow as tf

    if path.is_dir():
        raise unsafe(
            path,
            "a folder is a SavedModel, which can run code; if you trust its author, "
            "zoo.load_model(path, safe_mode=False) loads it",
        )
    try:
        trusted = set(arguments.get("custom_objects") or ())
        numbers = check_model(path, trusted, arguments.get("compile", True))
        with variables_within(numbers, path):
            model = tf.keras.models.load_model(str(path), safe_mode=True, **arguments)
        check_outputs(model, path)
        return model
    except FileError:
        raise
    except Exception as error:  # zipfile, h5py and Keras raise many kinds
        raise FileError(
            f"'{printable(str(path))}' is not a readable model: {one_line(error)}."
        ) from error
