"""SD-BNN's training (2103.02394, section 4, and the authors' code).

No `from __future__ import annotations` here: Zookeeper needs annotations as types, not as text.
"""

import tensorflow as tf
from zookeeper import ComponentField, Field, task

from training.loop import optimizers, schedules
from training.loop.schedules import error_decay
from training.loop.stage import Stage
from training.recipes._datasets import CIFAR, CIFAR_TEACHER, EMBEDDED, EMBEDDED_TEACHER
from training.recipes._recipe import Recipe
from training.recipes._two_stages import DistilledTwoStages
from zoo.models.sdbnn import (
    SDBNNResNet18CifarFactory,
    SDBNNResNet18Factory,
    SDBNNResNet20Factory,
    SDBNNVGGSmallFactory,
)


@task
class SDBNN(DistilledTwoStages):
    """SD-BNN ResNet-18 or 34: `lqz train SDBNN dataset=ImageNet dataset.data_dir=DIR`.

    A ResNet-34 teaches; binary activations first, then everything binary, 256 epochs each, batch
    512, Adam 1e-3 falling linearly; 66.5 % top-1 on ImageNet (67.6 % after the first stage).
    The 34: `model=SDBNNResNet34`.
    """

    model: tf.keras.models.Model = ComponentField(SDBNNResNet18Factory)
    batch_size: int = Field(512)
    learning_rate: float = Field(1e-3)
    presets = {
        "FashionMNIST": {**EMBEDDED, **EMBEDDED_TEACHER, "learning_rate": 1e-2},
        "Cifar10": {**CIFAR, **CIFAR_TEACHER},
    }


class ErrorDecayRecipe(Recipe):
    """CIFAR-10: one stage along a cosine, an estimator that sharpens by epoch."""

    epochs: int = Field(600)
    batch_size: int = Field(128)
    learning_rate: float = Field(0.08)
    weight_decay: float = Field(1e-4)
    label_smoothing: float = Field(0.0)

    # Sharpness t of the estimator in the first epoch and at the end.
    first_sharpness: float = Field(1e-3)
    last_sharpness: float = Field(10.0)

    # sgd (momentum 0.9), or adam, without which a short schedule leaves most signs as they began.
    optimizer: str = Field("sgd")

    # Course of the learning rate: linear, cosine or held (for two thirds, then linear).
    schedule: str = Field("cosine")

    # Hold the learning rate within an epoch, as the authors' code does, or not: epoch or step.
    schedule_every: str = Field("epoch")

    presets = {"FashionMNIST": EMBEDDED, "Cifar10": CIFAR}

    def stages(self) -> list[Stage]:
        return [
            Stage(
                "binary", self.network(), self.epochs, self.batch_size, self.learning_rate,
                optimizers.named(self.optimizer), schedule=schedules.named(self.schedule),
                schedule_every=self.schedule_every,
                weight_decay=self.weight_decay, label_smoothing=self.label_smoothing,
                each_epoch=error_decay(self.first_sharpness, self.last_sharpness),
            )
        ]  # fmt: skip


@task
class SDBNNResNet18Cifar(ErrorDecayRecipe):
    """SD-BNN ResNet-18 for CIFAR-10: `lqz train SDBNNResNet18Cifar dataset=Cifar10`.

    600 epochs, batch 128, SGD 0.08 falling along a cosine, weight decay 1e-4, EDE from 1e-3 to 10;
    92.5 % top-1.
    """

    model: tf.keras.models.Model = ComponentField(SDBNNResNet18CifarFactory)


@task
class SDBNNResNet20(ErrorDecayRecipe):
    """SD-BNN ResNet-20 for CIFAR-10: `lqz train SDBNNResNet20 dataset=Cifar10`.

    500 epochs, batch 128, SGD 0.11 falling along a cosine, weight decay 1e-4, EDE from 1e-3 to 10;
    86.9 % top-1.
    """

    model: tf.keras.models.Model = ComponentField(SDBNNResNet20Factory)
    epochs: int = Field(500)
    learning_rate: float = Field(0.11)


@task
class SDBNNVGGSmall(ErrorDecayRecipe):
    """SD-BNN VGG-Small for CIFAR-10: `lqz train SDBNNVGGSmall dataset=Cifar10`.

    400 epochs, batch 128, SGD 0.08 falling along a cosine, weight decay 1e-4, EDE from 0.1 to 10;
    90.8 % top-1.
    """

    model: tf.keras.models.Model = ComponentField(SDBNNVGGSmallFactory)
    epochs: int = Field(400)
    first_sharpness: float = Field(0.1)
