"""SD-BNN's training (2103.02394, section 4, and the authors' code).

No `from __future__ import annotations` here: Zookeeper needs annotations as types, not as text.
"""

from training.data import Cifar10, PadCropFlip
from training.recipes._recipe import Recipe
from zoo.adapters.zookeeper import ComponentField, Field, task
from zoo.models.resnet import RealResNet34Factory
from zoo.models.sdbnn import (
    SDBNNResNet18CifarFactory,
    SDBNNResNet18Factory,
    SDBNNResNet20Factory,
    SDBNNVGGSmallFactory,
)


@task
class SDBNN(Recipe):
    """SD-BNN ResNet-18 or 34 on ImageNet; 66.5 % top-1 (67.6 % after the first stage).

    A ResNet-34 teaches; binary activations first, then everything binary. The 34:
    `model=SDBNNResNet34`.
    """

    model = ComponentField(SDBNNResNet18Factory)
    teacher = ComponentField(RealResNet34Factory, weights="imagenet")
    two_stages = Field(True)
    epochs = Field(256)
    batch_size = Field(512)
    learning_rate = Field(1e-3)


@task
class SDBNNResNet18Cifar(Recipe):
    """SD-BNN ResNet-18 on CIFAR-10, as in the paper; 92.5 % top-1.

    One stage along a cosine, an estimator that sharpens by epoch.
    """

    dataset = ComponentField(Cifar10)
    preprocessing = ComponentField(PadCropFlip)
    model = ComponentField(SDBNNResNet18CifarFactory)
    epochs = Field(600)
    batch_size = Field(128)
    optimizer = Field("sgd")
    learning_rate = Field(0.08)
    schedule = Field("cosine")
    weight_decay = Field(1e-4)
    first_sharpness = Field(1e-3)
    last_sharpness = Field(10.0)
    validate_every = Field(5)


@task
class SDBNNResNet20(SDBNNResNet18Cifar):
    """SD-BNN ResNet-20 on CIFAR-10, as in the paper; 86.9 % top-1.

    84.9 % in less than half of the time: `epochs=200`. Results: docs/results/cifar10.md.
    """

    model = ComponentField(SDBNNResNet20Factory)
    epochs = Field(500)
    learning_rate = Field(0.11)


@task
class SDBNNVGGSmall(SDBNNResNet18Cifar):
    """SD-BNN VGG-Small on CIFAR-10, as in the paper; 90.8 % top-1.

    Results: docs/results/cifar10.md.
    """

    model = ComponentField(SDBNNVGGSmallFactory)
    epochs = Field(400)
    first_sharpness = Field(0.1)
