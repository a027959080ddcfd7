"""Files of weights: this project's .npz and Keras's .h5. Nothing in either is ever executed."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import tensorflow as tf

from zoo.errors import FileError, WeightsError, printable
from zoo.files import write_atomically
from zoo.untrusted import archives
from zoo.untrusted.archives import one_line, read_npz_arrays
from zoo.untrusted.models import KerasFile, open_keras
from zoo.untrusted.opening import open_regular, require_memory
from zoo.weights.packed import PACKED, binary_kernels, pack, unpack
from zoo.weights.torch_layout import network_name
from zoo.weights.torch_state import latent, torch_state

MODEL = "zoo.model"  # beside the arrays: whose they are
TORCH_SUFFIXES = (".pt", ".pth", ".tar", ".ckpt", ".bin")
UNUSED = "zoo.unused/"  # before the keys of what PyTorch's file held and no variable takes


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray], *, compressed: bool = False) -> None:
    """Write an .npz that is complete or not there."""
    # In memory first: a ZipFile that meets a full disk complains once more when it is deleted.
    content = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(content, **arrays)  # type: ignore[arg-type]
    write_atomically(path, lambda file: file.write(content.getbuffer()))


def write_npz(
    model: tf.keras.Model, path: Path, unused: Mapping[str, np.ndarray] | None = None, *,
    packed: bool = False,
) -> None:  # fmt: skip
    """Write the state of a model of this zoo, with its name.

    Args:
        model: the model.
        path: the file.
        unused: what PyTorch's file held that no variable takes, such as batch norm's counters.
        packed: whether to write one bit per binary weight (`zoo.weights.packed`).
    """
    name = {MODEL: np.array(network_name(model))}
    more = {f"{UNUSED}{key}": value for key, value in (unused or {}).items()}
    if packed:
        write_arrays(path, {**name, **pack(model, more)}, compressed=True)
    else:
        write_arrays(path, {**torch_state(model), **name, **more})


def write_packed(model: tf.keras.Model, path: Path) -> bool:
    """Write a packed set of a model that has binary kernels; False if it has none."""
    if not binary_kernels(model):
        return False
    write_npz(model, path, packed=True)
    return True


def is_packed(path: Path) -> bool:
    """Whether the file is a packed set, whatever else may be wrong with it."""
    try:
        with archives.open_zip(path) as archive:
            return f"{PACKED}.npy" in archive.namelist()
    except (FileError, OSError, zipfile.BadZipFile):
        return False


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
    """Everything in an .npz, unpacked.

    Raises:
        WeightsError: it is none, damaged, unsafe, or holds objects.
    """
    try:
        arrays = read_npz_arrays(path)
        if PACKED not in arrays:
            return arrays
        name = {MODEL: arrays.pop(MODEL)} if MODEL in arrays else {}
        return {**unpack(arrays, lambda size: require_memory(size, path)), **name}
    except FileError as error:
        raise WeightsError(str(error)) from error
    except Exception as error:  # what NumPy and json make of arrays that are no packed set
        raise WeightsError(
            f"'{printable(str(path))}' is not a readable .npz of weights: {one_line(error)}."
        ) from error


def check_zip(path: Path) -> None:
    """Refuse a zip that is made to do harm; nothing here unpacks one into files.

    Raises:
        WeightsError: it is unsafe.
        OSError, zipfile.BadZipFile: it is no readable zip.
    """
    try:
        archives.check_zip(path)
    except FileError as error:
        raise WeightsError(str(error)) from error


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
    with _readable(path), open_keras(path) as file:
        if named:
            try:
                _check_names(model, file, path)
            except (KeyError, TypeError, ValueError) as error:
                raise _no_fit(model, path, error) from error
    before = model.get_weights()
    try:
        model.load_weights(str(path))
        broken = [v.name for v in model.weights if not np.all(np.isfinite(latent(v)))]
        if broken:
            raise WeightsError(f"'{path}' holds NaN or infinity: {broken[0]}.")
    except WeightsError:
        model.set_weights(before)
        raise
    except (OSError, RuntimeError, zipfile.BadZipFile) as error:
        model.set_weights(before)
        raise _no_weights(path, error) from error
    except Exception as error:  # whatever h5py and Keras make of another model's or damaged files
        model.set_weights(before)  # Keras sets layer by layer until one does not fit
        raise _no_fit(model, path, error) from error


def check_weights(path: Path) -> None:
    """Refuse a file that is unsafe or no file of weights, before a model is built for it.

    The content of PyTorch's files is left to `zoo.weights.torch_file`.

    Raises:
        WeightsError: it is such a file.
    """
    if path.suffix == ".npz":
        with _readable(path):
            archives.read_npz_headers(path)
    elif path.suffix in TORCH_SUFFIXES:
        with _readable(path), open_regular(path):
            pass
    else:
        check_keras(path)


def check_keras(path: Path) -> None:
    """`check_weights` for a file that must be Keras's."""
    with _readable(path), open_keras(path):
        pass


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Raise WeightsError in place of what reading a file's structure raises."""
    try:
        yield
    except FileError as error:
        raise WeightsError(str(error)) from error
    except (OSError, RuntimeError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise _no_weights(path, error) from error


def _no_weights(path: Path, error: Exception) -> WeightsError:
    return WeightsError(
        f"'{printable(str(path))}' cannot be read as weights (.npz, .h5 or .keras): "
        f"{one_line(error)}."
    )


def _no_fit(model: tf.keras.Model, path: Path, error: Exception) -> WeightsError:
    return WeightsError(
        f"The weights in '{printable(str(path))}' do not fit {model.name}: {one_line(error)}."
    )


def _check_names(model: tf.keras.Model, file: KerasFile, path: Path) -> None:
    """Refuse a file of another model. Layers' order and shapes do not tell: larq-zoo's Bi-Real Net
    has those of the authors' and pads otherwise."""
    if file.architecture is not None:
        found, own = file.architecture["config"]["name"], model.name
    else:
        group = file.weights.get("model_weights", file.weights)
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
