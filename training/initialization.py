"""What a stage starts from: the network of an earlier one."""

from __future__ import annotations

import larq as lq
import tensorflow as tf

from zoo.weights._torch_layout import entries
from zoo.weights.torch_state import load_torch_state, torch_state


def initialize(model: tf.keras.Model, source: tf.keras.Model, binary_kernels: bool) -> None:
    """Give `model` the weights of `source`, its binary kernels only if asked."""
    state, own = torch_state(source), torch_state(model)
    for entry in entries(model):
        if not binary_kernels and getattr(entry.variable, "precision", 32) == 1:
            for key in (entry.key, *entry.also):
                state.pop(key, None)
            state[entry.key] = own[entry.key]
    load_torch_state(model, state)


def hold_signs(model: tf.keras.Model) -> None:
    """Set every binary kernel's latent weights to its signs."""
    for layer in model.layers:
        latent = getattr(getattr(layer, "kernel", None), "latent_variable", None)
        if latent is not None:
            latent.assign(lq.math.sign(latent))
