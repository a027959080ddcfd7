"""ReActNet's training (2003.03488, section 5.1, and the authors' code).

The only targets are a teacher's soft labels (the distributional loss). The first stage has binary
activations and real weights; in the second, everything is binary. Adam with linear decay.

No `from __future__ import annotations` here: Zookeeper needs annotations as types, not as text.
"""

from training.data import Cifar10, PadCropFlip
from training.recipes._recipe import Recipe
from zoo.adapters.zookeeper import ComponentField, Field, task
from zoo.models.bireal_net import BiRealNet20Factory
from zoo.models.reactnet import ReActNet18Factory, ReActNet20Factory, ReActNetAFactory
from zoo.models.resnet import RealResNet20Factory, RealResNet34Factory


@task
class ReActNet(Recipe):
    """ReActNet-A, B or C on ImageNet, as in the paper; 69.4 % top-1.

    Half as long: `epochs=128 learning_rate=1.25e-3`.
    Other networks: `model=ReActNetB`, `model=ReActNetC`. The published code of ReActNet-A gives the
    kernels of its two stages different names, so the second stage starts with
    new kernels: `carry_over_kernels=False`.
    """

    model = ComponentField(ReActNetAFactory)
    teacher = ComponentField(RealResNet34Factory, weights="imagenet")
    two_stages = Field(True)
    epochs = Field(256)
    batch_size = Field(256)
    learning_rate = Field(5e-4)
    weight_decay = Field(1e-5)
    decayed = Field("convolutions")


@task
class ReActNet18(ReActNet):
    """ReActNet-18, on Bi-Real Net's ResNet-18, on ImageNet, as the authors' code; 65.5 % top-1.

    Half as long: `epochs=128 learning_rate=2.5e-3`. The 34: `model=ReActNet34`.
    """

    model = ComponentField(ReActNet18Factory)
    batch_size = Field(512)
    learning_rate = Field(1e-3)


@task
class ReActNet20(ReActNet):
    """ReActNet's method on ResNet-20 and CIFAR-10, for which the paper has no recipe.

    Everything is binary from the start; the teacher is the package's real-valued ResNet-20. The
    paper's two stages: `two_stages=True`. Results: docs/results/cifar10.md.
    """

    dataset = ComponentField(Cifar10)
    preprocessing = ComponentField(PadCropFlip)
    model = ComponentField(ReActNet20Factory)
    teacher = ComponentField(RealResNet20Factory, weights="cifar10")
    two_stages = Field(False)
    teacher_epochs = Field(60)
    first_stage_epochs = Field(10)
    epochs = Field(150)
    batch_size = Field(128)
    learning_rate = Field(4e-3)
    weight_decay = Field(0.0)
    validate_every = Field(5)


@task
class BiRealNet20Taught(ReActNet20):
    """Bi-Real Net-20 of the package: continues from BiRealNet20's weights with ReActNet's loss.

    Store them as `cifar10-95`, and the teacher's as `cifar10-60`: docs/results/cifar10.md.
    """

    model = ComponentField(BiRealNet20Factory)
    initialize_from = Field("cifar10-95")
    teacher = ComponentField(RealResNet20Factory, weights="cifar10-60")
    two_stages = Field(True)
    first_stage_epochs = Field(0)
    epochs = Field(26)
    learning_rate = Field(5e-3)
    schedule = Field("held")
    schedule_every = Field("step")
