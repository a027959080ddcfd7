"""Files of weights: this project's .npz and Keras's .h5. Nothing in either is ever executed."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO

import numpy as np
import tensorflow as tf

from zoo.errors import WeightsError
from zoo.weights.torch_state import torch_state

MODEL = "zoo.model"  # beside the arrays: whose they are
MOST_BYTES = 4 * 2**30  # unpacked; a small zip can hold more than any memory


def write_npz(model: tf.keras.Model, path: Path | IO[bytes]) -> None:
    """Write the state of a model of this zoo, with its name."""
    # In memory first: a ZipFile that meets a full disk complains once more when it is deleted.
    content = io.BytesIO()
    named = {MODEL: np.array(model.name)}
    np.savez(content, **torch_state(model), **named)  # type: ignore[arg-type]
    if isinstance(path, Path):
        path.write_bytes(content.getbuffer())
    else:
        path.write(content.getbuffer())


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
    try:
        check_zip(path)
        with np.load(path, allow_pickle=False) as archive:
            state = {key: archive[key] for key in archive.files}
    except WeightsError:
        raise
    except Exception as error:  # whatever zipfile, zlib and NumPy make of damaged bytes
        raise WeightsError(
            f"'{path}' is not a readable .npz of weights: {one_line(error)}."
        ) from error
    named = str(state.pop(MODEL, model))
    if model is not None and named != model:
        raise WeightsError(f"'{path}' holds weights of {named}, which do not belong to {model}.")
    return state


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


def load_h5(model: tf.keras.Model, path: Path) -> None:
    """Set the weights of `model` from Keras's .h5, layer by layer in order.

    Raises:
        WeightsError: it is no such file, does not fit, or holds NaN; the model is as it was.
    """
    before = model.get_weights()
    try:
        model.load_weights(str(path))
        broken = [v.name for v in model.weights if not np.all(np.isfinite(_value(v)))]
        if broken:
            raise WeightsError(f"'{path}' holds NaN or infinity: {broken[0]}.")
    except WeightsError:
        model.set_weights(before)
        raise
    except OSError as error:
        model.set_weights(before)
        raise WeightsError(
            f"'{path}' cannot be read as weights (.npz, .h5 or .keras): {one_line(error)}."
        ) from error
    except (ValueError, KeyError, ImportError, AttributeError, TypeError) as error:
        model.set_weights(before)  # Keras sets layer by layer until one does not fit
        raise WeightsError(
            f"The weights in '{path}' do not fit {model.name}: {one_line(error)}."
        ) from error


def one_line(error: Exception) -> str:
    """What an error says, as part of a sentence."""
    text = str(error).strip()
    return text.splitlines()[0].rstrip(".:") if text else type(error).__name__


def _value(variable: tf.Variable) -> np.ndarray:
    return getattr(variable, "latent_variable", variable).numpy()
