"""Real-valued ResNets on small images: teachers, and baselines for binary networks.

No `from __future__ import annotations` here: Zookeeper needs annotations as types, not as text.
"""

from typing import ClassVar

from training.data import Cifar10, PadCropFlip
from training.recipes._recipe import Recipe
from zoo.adapters.zookeeper import ComponentField, Field, task
from zoo.models.resnet import RealResNet20Factory


@task
class RealResNet20(Recipe):
    """The real-valued ResNet-20 of the package on CIFAR-10, with SGD and a cosine schedule.

    Results: docs/results/cifar10.md.
    """

    dataset = ComponentField(Cifar10)
    preprocessing = ComponentField(PadCropFlip)
    model = ComponentField(RealResNet20Factory)
    epochs = Field(150)
    batch_size = Field(128)
    optimizer = Field("sgd")
    nesterov = Field(True)
    learning_rate = Field(0.1)
    schedule = Field("cosine")
    schedule_every = Field("step")
    weight_decay = Field(5e-4)
    validate_every = Field(5)
    last_stage: ClassVar[str] = "real"


@task
class RealResNet20Longer(RealResNet20):
    """The real-valued ResNet-20, continued from weights stored as `cifar10-60`.

    How to store them, and results: docs/results/cifar10.md.
    """

    initialize_from = Field("cifar10-60")
    crop_epochs = Field(24)
    epochs = Field(34)
    learning_rate = Field(0.05)


@task
class RealResNet20Longest(RealResNet20):
    """The teacher of the package's ReActNet20, continued from RealResNet20Longer's weights.

    Store them as `cifar10-118`: docs/results/cifar10.md.
    """

    initialize_from = Field("cifar10-118")
    epochs = Field(42)
    learning_rate = Field(0.05)
