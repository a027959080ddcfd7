"""XNOR-Net++'s training (1909.13863, section 4). The authors released no code; the figures are
recalled from the paper and the batch size is a stated choice.

No `from __future__ import annotations` here: Zookeeper needs annotations as types, not as text.
"""

from collections.abc import Iterable
from typing import Any

import tensorflow as tf
from zookeeper import ComponentField, Field, task

from training.loop.optimizers import adam
from training.loop.schedules import linear, steps
from training.loop.stage import Stage
from training.recipes._datasets import CIFAR, EMBEDDED
from training.recipes._recipe import Recipe
from zoo.errors import InvalidValueError
from zoo.models.xnornet_plus_plus import (
    XNORNetPlusPlusAlexNetFactory,
    XNORNetPlusPlusResNet18Factory,
    XNORNetPlusPlusResNet20Factory,
)


class XNORNetPlusPlusRecipe(Recipe):
    """One stage from scratch; the scales are learned with everything else."""

    epochs: int = Field(80)
    batch_size: int = Field(256)
    learning_rate: float = Field(1e-3)

    # The learning rate is divided by 10 every so many epochs; 0 lets it fall linearly to 0.
    divide_every: int = Field(25)

    # L2, added to the gradient of kernels.
    weight_decay: float = Field(1e-5)

    label_smoothing: float = Field(0.0)

    # Hold the learning rate within an epoch or not: epoch or step.
    schedule_every: str = Field("epoch")

    presets = {
        "FashionMNIST": {**EMBEDDED, "learning_rate": 1e-2, "divide_every": 0},
        "Cifar10": CIFAR,
    }

    def decayed(self, model: tf.keras.Model) -> Iterable[Any]:
        """Kernels; neither batch norm nor scales nor biases."""
        return [v for v in model.trainable_variables if "kernel" in v.name]

    def stages(self) -> list[Stage]:
        every, epochs = self.divide_every, self.crop_epochs + self.epochs
        if every < 0:
            raise InvalidValueError(f"divide_every={every} must be 0 or more.")
        tenths = steps([n / epochs for n in range(every, epochs, every or 1)])
        return [
            Stage(
                "binary", self.network(), self.epochs, self.batch_size, self.learning_rate, adam,
                schedule=tenths if every else linear(), schedule_every=self.schedule_every,
                weight_decay=self.weight_decay, decays=self.decayed,
                label_smoothing=self.label_smoothing,
            )
        ]  # fmt: skip


@task
class XNORNetPlusPlus(XNORNetPlusPlusRecipe):
    """XNOR-Net++ ResNet-18: `lqz train XNORNetPlusPlus dataset=ImageNet dataset.data_dir=DIR`.

    80 epochs, batch 256, Adam 1e-3 divided by 10 every 25 epochs; 57.1 % top-1 on ImageNet with
    the scale of case 4; the others: `model.scale=case1` (55.5 %), case2 (56.1 %), case3 (56.7 %).
    """

    model: tf.keras.models.Model = ComponentField(XNORNetPlusPlusResNet18Factory)


@task
class XNORNetPlusPlusAlexNet(XNORNetPlusPlusRecipe):
    """XNOR-Net++ AlexNet: `lqz train XNORNetPlusPlusAlexNet dataset=ImageNet`.

    As the ResNet-18; 46.9 % top-1 on ImageNet. Takes images of 63x63 or more.
    """

    model: tf.keras.models.Model = ComponentField(XNORNetPlusPlusAlexNetFactory)
    presets = {}


@task
class XNORNetPlusPlusResNet20(XNORNetPlusPlusRecipe):
    """XNOR-Net++'s method on ResNet-20: `lqz train XNORNetPlusPlusResNet20 dataset=Cifar10`.

    The paper has no CIFAR-10 recipe: 60 epochs, batch 128, Adam 4e-3 falling linearly.
    What it reaches: docs/results/cifar10.md.
    """

    model: tf.keras.models.Model = ComponentField(XNORNetPlusPlusResNet20Factory)
    epochs: int = Field(60)
    batch_size: int = Field(128)
    learning_rate: float = Field(4e-3)
    divide_every: int = Field(0)
