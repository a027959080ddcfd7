"""The initial weights of a stage: from an earlier stage or a file."""

from __future__ import annotations

import warnings
from pathlib import Path

import tensorflow as tf

from training.loop.progress import say
from training.settings.configuration import component_name
from zoo.adapters import larq
from zoo.files import sha256
from zoo.models import ZooFactory
from zoo.weights.load import find_weights, load_features
from zoo.weights.torch_layout import entries
from zoo.weights.torch_state import load_torch_state, torch_state


def initialize(model: tf.keras.Model, source: tf.keras.Model, binary_kernels: bool) -> None:
    """Copy the weights of `source` to `model`; its binary kernels only if `binary_kernels`."""
    state, own = torch_state(source), torch_state(model)
    for entry in entries(model):
        if not binary_kernels and getattr(entry.variable, "precision", 32) == 1:
            for key in (entry.key, *entry.also):
                state.pop(key, None)
            state[entry.key] = own[entry.key]
    load_torch_state(model, state)


def start_from(model: tf.keras.Model, factory: ZooFactory, weights: str) -> str:
    """Load a file or a registered set into `model`, which `factory` built; return its sha256.

    The file may come from another variant of the network, such as the real-valued one. A
    classifier for other classes is not loaded, and a message says so.
    """
    path = find_weights(weights, component_name(type(factory)))
    with warnings.catch_warnings(record=True) as notes:
        take_features(model, factory, path)
    say(f"Starting from the weights {weights} ({path.name}).")
    for note in notes:
        say(str(note.message))
    return sha256(path)


def take_features(model: tf.keras.Model, factory: ZooFactory, path: Path) -> None:
    """Load the weights of a file into `model`, which `factory` built.

    A classifier for other classes is not loaded; a warning names it.
    """
    head = (factory.classifier_name, *factory.head)
    name = component_name(type(factory))
    load_features(model, path, name=name, head=head, of_a_twin=True)


def hold_signs(model: tf.keras.Model) -> None:
    """Set every binary kernel's latent weights to its signs."""
    for layer in model.layers:
        latent = getattr(getattr(layer, "kernel", None), "latent_variable", None)
        if latent is not None:
            latent.assign(larq.sign(latent))
