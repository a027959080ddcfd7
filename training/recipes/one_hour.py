"""The best binary network after one hour on two cores. This recipe is ours; it follows no paper.

No `from __future__ import annotations` here: Zookeeper needs annotations as types, not as text.
"""

from training.data import Cifar10, PadCropFlip
from training.recipes._recipe import Recipe
from zoo.adapters.zookeeper import ComponentField, Field, task
from zoo.models.reactnet import ReActNet20Factory


@task
class OneHour(Recipe):
    """ReActNet-20 on CIFAR-10 in about an hour on two cores.

    Binary from the start and with labels only, without the time for a teacher and a first stage;
    first on crops, then on whole images. Results: docs/results/cifar10.md.
    """

    dataset = ComponentField(Cifar10)
    preprocessing = ComponentField(PadCropFlip)
    model = ComponentField(ReActNet20Factory)
    crop_epochs = Field(44)
    epochs = Field(9)
    batch_size = Field(128)
    learning_rate = Field(1e-2)
    schedule = Field("held")
    schedule_every = Field("step")
    validate_every = Field(5)
