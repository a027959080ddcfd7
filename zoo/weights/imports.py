"""Import a foreign file as a set: read it, load it into its model, check it, write it."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from zoo import catalog
from zoo.pretrained.records import Format, WeightSet
from zoo.weights import torch_file
from zoo.weights.files import is_packed, read_npz, read_unused, write_npz
from zoo.weights.keras_file import load_keras
from zoo.weights.torch_layout import entries
from zoo.weights.torch_state import latent, load_torch_state, torch_state, unused


@dataclass(frozen=True)
class Parity:
    """The comparison of a file with the model that loaded it.

    Attributes:
        keys: number of keys in the file; all of them are used.
        variables: number of variables in the model; all of them are set.
        equal: whether the model's state equals the file's numbers to the bit.
        layers: number of convolutions and dense layers that were computed twice: by NumPy with the
            file's numbers, and by TensorFlow with the model's.
        difference: largest difference of the two results, relative to the largest output.
        finite: whether the whole network's output for a test image is finite.
    """

    keys: int
    variables: int
    equal: bool
    layers: int
    difference: float
    finite: bool

    @property
    def passed(self) -> bool:
        return self.equal and self.finite and self.difference < 1e-4


def prepare(record: WeightSet, source: Path, format: Format, target: Path) -> None:
    """Check a downloaded file against its model, and write the set to `target`.

    Raises:
        WeightsError: the file does not fit the model; nothing is written.
    """
    # Read the file first: an unreadable file is refused before its model is built.
    state = {}
    if format == "pytorch":
        state = torch_file.read(source)
    elif format in ("npz", "packed"):
        state = read_npz(source, record.model.lower())
    model = catalog.row(record.model).function()(weights=None, num_classes=record.num_classes)
    if format == "keras":
        load_keras(model, source, named=False)
        shutil.copyfile(source, target)
        return
    load_torch_state(model, torch_file.with_counters(state, model))
    rest = state if format == "pytorch" else read_unused(source)
    write_npz(model, target, unused(model, rest), packed=is_packed(source))


def parity(model: tf.keras.Model, state: dict[str, np.ndarray]) -> Parity:
    """Compare `model` with the `state` of the PyTorch file that it has loaded."""
    own = torch_state(model)
    rng = np.random.default_rng(0)
    equal, layers, difference = True, 0, 0.0
    wanted = entries(model)
    for entry in wanted:
        if entry.variable is None:
            continue
        theirs = next(state[key] for key in (entry.key, *entry.also) if key in state)
        equal &= np.array_equal(theirs.reshape(-1), own[entry.key].reshape(-1))
        if entry.order is None:
            continue
        value = latent(entry.variable)
        layers += 1
        if entry.oihw:
            size = max(entry.oihw[2:]) + 2
            image = rng.standard_normal((entry.oihw[1], size, size), "float32")
            expected = _convolved(image, theirs.reshape(entry.oihw))
            found = tf.nn.conv2d(image.transpose(1, 2, 0)[None], value, 1, "VALID").numpy()[0]
            found = found.transpose(2, 0, 1)
        else:
            vector = rng.standard_normal(entry.shape[1], "float32")
            expected = theirs.astype("float64") @ vector
            found = tf.linalg.matvec(value, vector, transpose_a=True).numpy()
        scale = max(float(np.abs(expected).max()), 1e-30)
        difference = max(difference, float(np.abs(found - expected).max()) / scale)
    return Parity(
        keys=len(state),
        variables=sum(each.variable is not None for each in wanted),
        equal=equal,
        layers=layers,
        difference=difference,
        finite=_finite(model),
    )


def _convolved(image: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Return PyTorch's convolution of (in, h, w) with (out, in, kh, kw), without padding."""
    windows = np.lib.stride_tricks.sliding_window_view(image, kernel.shape[2:], (1, 2))  # type: ignore[call-overload]
    return np.einsum("ihwkl,oikl->ohw", windows.astype("float64"), kernel, optimize=True)


def _finite(model: tf.keras.Model) -> bool:
    shape: list[Any] = [length or 32 for length in model.input_shape[1:]]
    image = np.random.default_rng(1).standard_normal((1, *shape)).astype("float32")
    return bool(np.all(np.isfinite(model(image, training=False).numpy())))
