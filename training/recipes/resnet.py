"""Real-valued ResNets on small images: the teachers, and what binary networks are compared with.

No `from __future__ import annotations` here: Zookeeper needs annotations as types, not as text.
"""

import tensorflow as tf
from zookeeper import ComponentField, Field, task

from training.loop.optimizers import sgd
from training.loop.schedules import cosine
from training.loop.stage import Stage
from training.recipes._datasets import CIFAR, EMBEDDED
from training.recipes._recipe import Recipe
from zoo.models.resnet import RealResNet20Factory


@task
class RealResNet20(Recipe):
    """The real-valued ResNet-20: `lqz train RealResNet20 dataset=Cifar10 dataset.data_dir=DIR`.

    60 epochs, batch 128, SGD with Nesterov momentum, 0.1 falling along a cosine, weight decay 5e-4.
    What it reaches: docs/results/cifar10.md.
    """

    model: tf.keras.models.Model = ComponentField(RealResNet20Factory)
    epochs: int = Field(60)
    batch_size: int = Field(128)
    learning_rate: float = Field(0.1)
    weight_decay: float = Field(5e-4)
    label_smoothing: float = Field(0.0)

    # Hold the learning rate within an epoch or not: epoch or step.
    schedule_every: str = Field("step")

    presets = {"FashionMNIST": {**EMBEDDED, "model.width": 0.5}, "Cifar10": CIFAR}

    def stages(self) -> list[Stage]:
        return [
            Stage(
                "real", self.network(), self.epochs, self.batch_size, self.learning_rate,
                sgd(nesterov=True), schedule=cosine(), schedule_every=self.schedule_every,
                weight_decay=self.weight_decay, label_smoothing=self.label_smoothing,
            )
        ]  # fmt: skip
