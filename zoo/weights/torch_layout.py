"""The authors' key names and shapes for the weights of our Keras layers.

Layers have the names of the authors' modules, so a key consists of the layer's name and the
parameter's name. The tables below list the exceptions.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import tensorflow as tf

from zoo.adapters import larq

# PyTorch's name of each parameter, by Keras's name.
PARAMETERS = {
    "kernel": "weight",
    "bias": "bias",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
    "alpha": "weight",  # Keras's PReLU
    "alpha_bias": "alpha",  # SD-BNN's weight self-distribution
}

# ReActNet keeps its learned shifts in separate modules around each PReLU and sign.
REACT_MODULES = [
    (r"^(feature\.\d+)\.rsign([12])\.shift$", r"\1.move\g<2>1.bias"),
    (r"^(feature\.\d+)\.rprelu([12])\.shift_in$", r"\1.move\g<2>2.bias"),
    (r"^(feature\.\d+)\.rprelu([12])\.slope$", r"\1.prelu\2.weight"),
    (r"^(feature\.\d+)\.rprelu([12])\.shift_out$", r"\1.move\g<2>3.bias"),
    (r"\.rsign\.shift$", ".move0.bias"),
    (r"\.rprelu\.shift_in$", ".move1.bias"),
    (r"\.rprelu\.slope$", ".prelu.weight"),
    (r"\.rprelu\.shift_out$", ".move2.bias"),
]

# Kernels of these modules are stored flat, (O*I*kh*kw, 1), with the name "weights".
FLAT_MODULES = {
    "reactnet": r"\.binary_(3x3|pw\w*)$",  # A, B, C
    "birealnet": r"\.binary_conv$",
    "sdbnn": r"\.binary_conv$",
}


@dataclass(frozen=True)
class Entry:
    """One key of a state_dict and the Keras variable that holds its value.

    `variable` is None for values that the authors' network stores but never uses.
    """

    key: str
    shape: tuple[int, ...]
    variable: Any = None
    order: tuple[int, ...] | None = None  # axes of the Keras value in PyTorch's order
    oihw: tuple[int, ...] | None = None  # set for convolution kernels, which may be flat
    also: tuple[str, ...] = field(default=())  # other possible keys of the value

    def to_keras(self, value: np.ndarray) -> np.ndarray:
        if self.order is None:
            return value.reshape(self.variable.shape)
        return value.reshape(self.oihw or self.shape).transpose(np.argsort(self.order))

    def to_torch(self, value: np.ndarray) -> np.ndarray:
        if self.order is not None:
            value = value.transpose(self.order)
        return np.ascontiguousarray(value).reshape(self.shape)


def network_name(model: tf.keras.Model) -> str:
    """Return the name of a model's network, also if the user gave the model another name."""
    return getattr(model, "network_name", model.name)


def entries(model: tf.keras.Model) -> list[Entry]:
    """Return every key of the authors' state_dict for `model`, in the order of its layers."""
    found: list[Entry] = []
    for layer in model.layers:
        for variable in layer.weights:
            found.append(_entry(network_name(model), layer, variable))
        if isinstance(layer, tf.keras.layers.BatchNormalization):
            found.append(Entry(f"{layer.name}.num_batches_tracked", ()))
        found.extend(_unused(model, layer))
    return found


def _entry(model_name: str, layer: tf.keras.layers.Layer, variable: Any) -> Entry:
    name = variable.name.split(":")[0].rsplit("/", 1)[-1]
    shape = tuple(variable.shape)
    if name == "kernel" and isinstance(layer, tf.keras.layers.Dense):
        return Entry(f"{layer.name}.weight", shape[::-1], variable, order=(1, 0))
    if name == "kernel":
        oihw = (shape[3], shape[2], shape[0], shape[1])
        plain, flat = f"{layer.name}.weight", f"{layer.name}.weights"
        if _stored_flat(model_name, layer):
            size = (int(np.prod(oihw)), 1)
            return Entry(flat, size, variable, order=(3, 2, 0, 1), oihw=oihw, also=(plain,))
        return Entry(plain, oihw, variable, order=(3, 2, 0, 1), oihw=oihw, also=(flat,))

    key = f"{layer.name}.{PARAMETERS.get(name, name)}"
    for pattern, replacement in REACT_MODULES:
        key, replaced = re.subn(pattern, replacement, key)
        if replaced:
            break
    if key.endswith(".bias") and ".move" in key:
        return Entry(key, (1, *shape, 1, 1), variable)
    if isinstance(layer, tf.keras.layers.PReLU):
        return Entry(key, (int(np.prod(shape)),), variable)
    return Entry(key, shape, variable)


def _stored_flat(model_name: str, layer: tf.keras.layers.Layer) -> bool:
    # ReActNet-A's first stage does not store them flat: they are real convolutions there.
    if model_name.startswith("reactnet") and layer.kernel_quantizer is None:
        return False
    return any(
        model_name.startswith(family) and re.search(pattern, layer.name)
        for family, pattern in FLAT_MODULES.items()
    )


def _unused(model: tf.keras.Model, layer: tf.keras.layers.Layer) -> list[Entry]:
    """Return further values of the authors' modules, which do not affect the output."""
    name = network_name(model)
    if name == "birealnet50" and layer.name == "layers.0.conv1":
        return [Entry("layers.0.down_conv1x1.weight", (64, 16, 1, 1))]
    gated = isinstance(layer, larq.QuantConv2D) and layer.input_quantizer is not None
    if name.startswith("sdbnn") and gated and layer.kernel_quantizer is None:
        return [Entry(f"{layer.name}.alpha", (layer.filters,))]  # first stage: WSD is off
    return []
