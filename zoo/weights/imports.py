"""From a foreign file to a set as it is kept: read, fitted to its model, checked, written."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from zoo.pretrained.records import Format, WeightSet
from zoo.weights import torch_file
from zoo.weights._torch_layout import entries
from zoo.weights.files import load_keras, read_npz, read_unused, write_npz
from zoo.weights.torch_state import latent, load_torch_state, torch_state, unused


@dataclass(frozen=True)
class Parity:
    """What was compared between a file and the model that took it.

    Attributes:
        keys: of the file, all of them used.
        variables: of the model, all of them set.
        equal: whether the model, asked for its state, gives the file's numbers to the bit.
        layers: convolutions and dense layers computed by PyTorch from the file's numbers and by
            Keras from the model's.
        difference: the largest between the two, relative to the largest output.
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
    """Check a fetched file against the model it is for, and write the set to `target`.

    Raises:
        WeightsError: it is not what it should be; nothing is written.
    """
    import zoo

    # A file that cannot be read is refused before its model is built.
    state = {}
    if format == "pytorch":
        state = torch_file.read(source)
    elif format == "npz":
        state = read_npz(source, record.model.lower())
    model = zoo.get_model(record.model, weights=None, num_classes=record.num_classes)
    if format == "keras":
        load_keras(model, source, named=False)
        shutil.copyfile(source, target)
        return
    load_torch_state(model, torch_file.with_counters(state, model))
    write_npz(model, target, unused(model, read_unused(source) if format == "npz" else state))


def parity(model: tf.keras.Model, state: dict[str, np.ndarray]) -> Parity:
    """Compare `model` with the `state` of a PyTorch file that it has taken. Needs torch."""
    import torch

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
            kernel = torch.from_numpy(np.array(theirs)).view(entry.oihw)
            size = max(entry.oihw[2:]) + 2
            image = rng.standard_normal((1, entry.oihw[1], size, size), "float32")
            expected = torch.nn.functional.conv2d(torch.from_numpy(image), kernel).numpy()
            found = tf.nn.conv2d(image.transpose(0, 2, 3, 1), value, 1, "VALID").numpy()
            found = found.transpose(0, 3, 1, 2)
        else:
            kernel = torch.from_numpy(np.array(theirs))
            vector = rng.standard_normal((1, entry.shape[1]), "float32")
            expected = torch.nn.functional.linear(torch.from_numpy(vector), kernel).numpy()
            found = vector @ value
        scale = max(float(np.abs(expected).max()), 1e-30)
        difference = max(difference, float(np.abs(found - expected).max()) / scale)
    return Parity(
        keys=len(state), variables=sum(each.variable is not None for each in wanted), equal=equal,
        layers=layers, difference=difference, finite=_finite(model),
    )  # fmt: skip


def _finite(model: tf.keras.Model) -> bool:
    shape: list[Any] = [length or 32 for length in model.input_shape[1:]]
    image = np.random.default_rng(1).standard_normal((1, *shape)).astype("float32")
    return bool(np.all(np.isfinite(model(image, training=False).numpy())))
