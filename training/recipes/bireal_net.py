"""Bi-Real Net's training (1808.00278, sections 3.3, 3.4 and 4; and the authors' PyTorch code).

No `from __future__ import annotations` here: Zookeeper needs annotations as types, not as text.
"""

from collections.abc import Callable
from dataclasses import replace

import tensorflow as tf
from zookeeper import ComponentField, Field, task

from training.loop.optimizers import adam, sgd
from training.loop.schedules import named, steps
from training.loop.stage import Stage, batch_norms
from training.recipes._datasets import CIFAR, EMBEDDED
from training.recipes._recipe import Recipe
from zoo.errors import InvalidValueError
from zoo.models.bireal_net import BiRealNet18Factory, BiRealNet20Factory


class FromScratch(Recipe):
    """The authors' code: binary from the start, Adam falling linearly, label smoothing."""

    epochs: int = Field(256)
    batch_size: int = Field(512)
    learning_rate: float = Field(1e-3)
    label_smoothing: float = Field(0.1)

    # Course of the learning rate: linear, cosine or held (for two thirds, then linear).
    schedule: str = Field("linear")

    # Hold the learning rate within an epoch, as the authors' code does, or not: epoch or step.
    schedule_every: str = Field("epoch")

    presets = {"FashionMNIST": {**EMBEDDED, "learning_rate": 1e-2}, "Cifar10": CIFAR}

    def stages(self) -> list[Stage]:
        return [
            Stage(
                "binary", self.network(), self.epochs, self.batch_size, self.learning_rate, adam,
                schedule=named(self.schedule), schedule_every=self.schedule_every,
                label_smoothing=self.label_smoothing,
            )
        ]  # fmt: skip


@task
class BiRealNet(FromScratch):
    """Bi-Real Net 18, 34 or 50, the authors' code: `lqz train BiRealNet dataset=ImageNet`.

    256 epochs from scratch, batch 512, Adam 1e-3 falling linearly, label smoothing 0.1; 56.4 %
    top-1 (18), 62.2 % (34), 62.6 % (50) on ImageNet, all by the paper's longer way.
    Other networks: `model=BiRealNet34`, `model=BiRealNet50`.
    """

    model: tf.keras.models.Model = ComponentField(BiRealNet18Factory)


@task
class BiRealNet20(FromScratch):
    """Bi-Real Net's method on ResNet-20: `lqz train BiRealNet20 dataset=Cifar10`.

    The paper has no CIFAR-10 recipe: 75 epochs on crops of 24x24 pixels, 20 on whole images, batch
    128, Adam 1e-2, held for two thirds of them and falling linearly in the last third. What it
    reaches: docs/results/cifar10.md.
    """

    model: tf.keras.models.Model = ComponentField(BiRealNet20Factory)
    epochs: int = Field(60)
    batch_size: int = Field(128)
    learning_rate: float = Field(1e-2)
    label_smoothing: float = Field(0.0)
    schedule: str = Field("held")
    schedule_every: str = Field("step")
    presets = {
        "FashionMNIST": EMBEDDED,
        "Cifar10": {**CIFAR, "crop_epochs": 75, "epochs": 20},
    }


@task
class BiRealNetPaper(Recipe):
    """Bi-Real Net 18 as in the paper: `lqz train BiRealNetPaper dataset=ImageNet`.

    A real network with clip(-1, x, 1) for the sign is trained first, itself from one whose clip
    leaks; then the binary one with the magnitude-aware gradient; then batch norm alone, for one
    epoch, with the weights held at +-1. SGD with momentum 0.9, 20 epochs of each, batch 128,
    learning rate 0.01, a tenth from epoch 10 and a hundredth from 15 on; 56.4 % top-1 on ImageNet.
    The 34: `model=BiRealNet34 epochs=40 batch_size=1024 learning_rate=0.08`; 62.2 %.
    """

    model: tf.keras.models.Model = ComponentField(BiRealNet18Factory)
    epochs: int = Field(20)
    batch_size: int = Field(128)
    learning_rate: float = Field(0.01)

    # Epochs of each of the two real networks, where they differ.
    pretraining_epochs: int | None = Field(None)

    # Epochs of batch norm alone, at the last learning rate.
    batch_norm_epochs: int = Field(1)

    # Slope of the first network's clip beyond +-1.
    leak: float = Field(0.1)

    presets = {"FashionMNIST": EMBEDDED, "Cifar10": CIFAR}

    def stages(self) -> list[Stage]:
        def clipped(slope: float) -> Callable[..., tf.keras.Model]:
            return self.network(binary_activations=False, binary_weights=False, clip_slope=slope)

        if self.crop_epochs:
            raise InvalidValueError("The last stage here is batch norm alone: give crop_epochs=0.")
        epochs = self.epochs if self.pretraining_epochs is None else self.pretraining_epochs
        leaky = Stage(
            "leaky clip", clipped(self.leak), epochs, self.batch_size, self.learning_rate, sgd(),
            schedule=steps([1 / 2, 3 / 4]),
        )  # fmt: skip
        clip = replace(leaky, name="clip", build=clipped(0.0), initialize_from="leaky clip")
        binary = replace(
            leaky, name="binary", build=self.network(magnitude_aware_gradient=True),
            epochs=self.epochs, initialize_from="clip",
        )  # fmt: skip
        batch_norm = replace(
            binary, name="batch norm", epochs=self.batch_norm_epochs,
            learning_rate=self.learning_rate / 100, schedule=steps([]), trains=batch_norms,
            initialize_from="binary", hold_signs=True,
        )  # fmt: skip
        return [leaky, clip, binary, batch_norm]
