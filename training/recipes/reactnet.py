"""ReActNet's training (2003.03488, section 5.1, and the authors' code).

A teacher's soft labels alone (the distributional loss); first binary activations with real
weights, then everything binary; Adam, falling linearly.

No `from __future__ import annotations` here: Zookeeper needs annotations as types, not as text.
"""

from collections.abc import Iterable
from typing import Any

import tensorflow as tf
from zookeeper import ComponentField, Field, task

from training.recipes._datasets import CIFAR, CIFAR_TEACHER, EMBEDDED, EMBEDDED_TEACHER
from training.recipes._two_stages import DistilledTwoStages
from zoo.models.reactnet import ReActNet18Factory, ReActNet20Factory, ReActNetAFactory
from zoo.weights.torch_layout import entries

EMBEDDED_IMAGES = {**EMBEDDED, **EMBEDDED_TEACHER, "learning_rate": 1e-2, "schedule": "cosine"}
CIFAR_IMAGES = {**CIFAR, **CIFAR_TEACHER}


class ReActNetRecipe(DistilledTwoStages):
    """What the recipes of all ReActNets share.

    The published code of ReActNet-A names the kernels of its two stages differently and so starts
    the second's afresh: carry_over_kernels=False.
    """

    batch_size: int = Field(256)
    learning_rate: float = Field(5e-4)
    weight_decay: float = Field(1e-5)

    def decayed(self, model: tf.keras.Model) -> Iterable[Any]:
        """What the authors' code decays: 4-D parameters (shifts are, too) and convolutions."""
        for entry in entries(model):
            trainable = entry.variable is not None and entry.variable.trainable
            if trainable and (len(entry.oihw or entry.shape) == 4 or "conv" in entry.key):
                yield entry.variable


@task
class ReActNet(ReActNetRecipe):
    """ReActNet-A, B or C: `lqz train ReActNet dataset=ImageNet dataset.data_dir=DIR`.

    The paper's: 256 epochs in each of two stages, batch 256, Adam 5e-4 falling linearly; 69.4 %
    top-1 on ImageNet. Half as long: `epochs=128 learning_rate=1.25e-3`.
    Other networks: `model=ReActNetB`, `model=ReActNetC`.

    Without a data set it trains a quarter as wide a network on the embedded Fashion-MNIST, in
    minutes on two cores, to above 88 %.
    """

    model: tf.keras.models.Model = ComponentField(ReActNetAFactory)
    presets = {
        "FashionMNIST": {**EMBEDDED_IMAGES, "model.width": 0.25, "model.stem_strides": 1},
        "Cifar10": {**CIFAR_IMAGES, "model.width": 0.5, "model.stem_strides": 1},
    }


@task
class ReActNet18(ReActNetRecipe):
    """ReActNet-18, on Bi-Real Net's ResNet-18: `lqz train ReActNet18 dataset=ImageNet`.

    The authors': 256 epochs in each of two stages, batch 512, Adam 1e-3 falling linearly; 65.5 %
    top-1 on ImageNet. Half as long: `epochs=128 learning_rate=2.5e-3`; the 34: `model=ReActNet34`.
    """

    model: tf.keras.models.Model = ComponentField(ReActNet18Factory)
    batch_size: int = Field(512)
    learning_rate: float = Field(1e-3)
    presets = {"FashionMNIST": EMBEDDED_IMAGES, "Cifar10": CIFAR_IMAGES}


@task
class ReActNet20(ReActNetRecipe):
    """ReActNet's method on ResNet-20: `lqz train ReActNet20 dataset=Cifar10 dataset.data_dir=DIR`.

    The paper has no CIFAR-10 recipe: the package's real ResNet-20 teaches, 10 and 60 epochs,
    batch 128, Adam 4e-3 falling linearly. What it reaches: docs/results/cifar10.md.
    """

    model: tf.keras.models.Model = ComponentField(ReActNet20Factory)
    epochs: int = Field(60)
    first_stage_epochs: int | None = Field(10)
    batch_size: int = Field(128)
    learning_rate: float = Field(4e-3)
    presets = {"FashionMNIST": EMBEDDED_IMAGES, "Cifar10": CIFAR_IMAGES}
