"""XNOR-Net++'s training (1909.13863, section 4).

The authors released no code. Its figures were not checked against the text of the paper; the batch
size is our choice.

No `from __future__ import annotations` here: Zookeeper needs annotations as types, not as text.
"""

from training.data import Cifar10, PadCropFlip
from training.recipes._recipe import Recipe
from zoo.adapters.zookeeper import ComponentField, Field, task
from zoo.models.xnornet_plus_plus import (
    XNORNetPlusPlusAlexNetFactory,
    XNORNetPlusPlusResNet18Factory,
    XNORNetPlusPlusResNet20Factory,
)


@task
class XNORNetPlusPlus(Recipe):
    """XNOR-Net++ ResNet-18 on ImageNet; 57.1 % top-1 with the scale of case 4.

    One stage from scratch; the scales are learned with everything else. Other scales:
    `model.scale=case1` (55.5 %), case2 (56.1 %), case3 (56.7 %).
    """

    model = ComponentField(XNORNetPlusPlusResNet18Factory)
    epochs = Field(80)
    batch_size = Field(256)
    learning_rate = Field(1e-3)
    schedule = Field("steps")
    divide_every = Field(25)
    weight_decay = Field(1e-5)
    decayed = Field("kernels")


@task
class XNORNetPlusPlusAlexNet(XNORNetPlusPlus):
    """XNOR-Net++ AlexNet on ImageNet; 46.9 % top-1. Takes images of 63x63 or more."""

    model = ComponentField(XNORNetPlusPlusAlexNetFactory)


@task
class XNORNetPlusPlusResNet20(XNORNetPlusPlus):
    """XNOR-Net++'s method on ResNet-20 and CIFAR-10, for which the paper has no recipe.

    Results: docs/results/cifar10.md.
    """

    dataset = ComponentField(Cifar10)
    preprocessing = ComponentField(PadCropFlip)
    model = ComponentField(XNORNetPlusPlusResNet20Factory)
    epochs = Field(150)
    batch_size = Field(128)
    learning_rate = Field(4e-3)
    schedule = Field("linear")
    divide_every = Field(0)
    validate_every = Field(5)
