"""Files of weights: this project's .npz and Keras's .h5. Nothing in either is ever executed."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath

import numpy as np
import tensorflow as tf

from zoo.errors import WeightsError
from zoo.files import write_atomically
from zoo.weights.torch_state import latent, printable, torch_state

MODEL = "zoo.model"  # beside the arrays: whose they are
UNUSED = "zoo.unused/"  # before the keys of what PyTorch's file held and no variable takes
MOST_BYTES = 4 * 2**30  # unpacked; a small zip can hold more than any memory


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write an .npz that is complete or not there."""
    # In memory first: a ZipFile that meets a full disk complains once more when it is deleted.
    content = io.BytesIO()
    np.savez(content, **arrays)  # type: ignore[arg-type]
    write_atomically(path, lambda file: file.write(content.getbuffer()))


def write_npz(
    model: tf.keras.Model, path: Path, unused: Mapping[str, np.ndarray] | None = None
) -> None:
    """Write the state of a model of this zoo, with its name.

    Args:
        model: the model.
        path: the file.
        unused: what PyTorch's file held that no variable takes, such as batch norm's counters.
    """
    more = {f"{UNUSED}{key}": value for key, value in (unused or {}).items()}
    write_arrays(path, {**torch_state(model), MODEL: np.array(model.name), **more})


def read_npz(path: Path, model: str | None = None) -> dict[str, np.ndarray]:
    """The arrays of an .npz.

    Args:
        path: the file.
        model: the Keras name of the model that they are for. BiRealNet20's keys and shapes are
            RealResNet20's, so that nothing but the name in the file tells the two apart.

    Raises:
        WeightsError: it is no .npz, is damaged, holds anything but plain arrays, or is another
            model's.
    """
    state = read_arrays(path)
    named = state.pop(MODEL, np.array(model))
    if model is not None and (named.ndim or str(named) != model):
        raise WeightsError(
            f"'{path}' holds weights of {printable(str(named))}, which do not belong to {model}."
        )
    return {key: value for key, value in state.items() if not key.startswith(UNUSED)}


def read_unused(path: Path) -> dict[str, np.ndarray]:
    """What `write_npz` was given as `unused`. Raises WeightsError as `read_npz` does."""
    return {
        key.removeprefix(UNUSED): value for key, value in read_arrays(path).items()
        if key.startswith(UNUSED)
    }  # fmt: skip


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Everything in an .npz. Raises WeightsError: it is none, damaged, or holds objects."""
    try:
        check_zip(path)
        with np.load(path, allow_pickle=False) as archive:
            return {key: archive[key] for key in archive.files}
    except WeightsError:
        raise
    except Exception as error:  # whatever zipfile, zlib and NumPy make of damaged bytes
        raise WeightsError(
            f"'{path}' is not a readable .npz of weights: {one_line(error)}."
        ) from error


def check_zip(path: Path) -> None:
    """Refuse a zip that leads outside its folder or unpacks to more than memory may hold.

    Nothing here unpacks a zip into files; whoever made such a one meant harm.

    Raises:
        WeightsError: it does.
        OSError, zipfile.BadZipFile: it is no readable zip.
    """
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
    for member in members:
        for kind in (PurePosixPath, PureWindowsPath):
            inside = kind(member.filename)
            if inside.is_absolute() or inside.drive or ".." in inside.parts:
                raise WeightsError(
                    f"'{path}' was made to do harm: its member '{member.filename}' leads outside."
                )
    total = sum(member.file_size for member in members)
    if total > MOST_BYTES:
        raise WeightsError(f"'{path}' unpacks to {total:,} bytes, more than any set here.")


def load_keras(model: tf.keras.Model, path: Path, *, named: bool = True) -> None:
    """Set the weights of `model` from Keras's .h5 or .keras, layer by layer in order.

    Args:
        model: the model.
        path: the file.
        named: the file's model or, if it holds weights alone, its layers must bear the names of
            `model`'s; larq-zoo's layers have names that change from process to process.

    Raises:
        WeightsError: it is no such file, does not fit, or holds NaN; the model is as it was.
    """
    before = model.get_weights()
    try:
        if named:
            _check_names(model, path)
        model.load_weights(str(path))
        broken = [v.name for v in model.weights if not np.all(np.isfinite(latent(v)))]
        if broken:
            raise WeightsError(f"'{path}' holds NaN or infinity: {broken[0]}.")
    except WeightsError:
        model.set_weights(before)
        raise
    except (OSError, RuntimeError, zipfile.BadZipFile) as error:
        model.set_weights(before)
        raise WeightsError(
            f"'{path}' cannot be read as weights (.npz, .h5 or .keras): {one_line(error)}."
        ) from error
    except Exception as error:  # whatever h5py and Keras make of another model's or damaged files
        model.set_weights(before)  # Keras sets layer by layer until one does not fit
        raise WeightsError(
            f"The weights in '{path}' do not fit {model.name}: {one_line(error)}."
        ) from error


def _check_names(model: tf.keras.Model, path: Path) -> None:
    """Refuse a file of another model. Layers' order and shapes do not tell: larq-zoo's Bi-Real Net
    has those of the authors' and pads otherwise."""
    if zipfile.is_zipfile(path):
        check_zip(path)
        with zipfile.ZipFile(path) as archive:
            config = json.loads(archive.read("config.json"))
        found, own = config["config"]["name"], model.name
    else:
        import h5py

        with h5py.File(path) as file:
            if "model_config" in file.attrs:
                found, own = json.loads(file.attrs["model_config"])["config"]["name"], model.name
            else:
                group = file.get("model_weights", file)
                if "layer_names" not in group.attrs:
                    return  # a *.weights.h5, whose layers have no names
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
    raise WeightsError(f"'{path}' holds weights of {whose}, which do not belong to {model.name}.")


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


def one_line(error: Exception) -> str:
    """What an error says, as part of a sentence."""
    text = str(error).strip()
    return printable(text.splitlines()[0].rstrip(".:")) if text else type(error).__name__
