"""The best binary network that an hour on two cores buys; a recipe of this project, of no paper.

No `from __future__ import annotations` here: Zookeeper needs annotations as types, not as text.
"""

import tensorflow as tf
from zookeeper import ComponentField, Field, task

from training.recipes._datasets import CIFAR, EMBEDDED
from training.recipes.bireal_net import FromScratch
from zoo.models.reactnet import ReActNet20Factory


@task
class OneHour(FromScratch):
    """ReActNet-20 in about an hour on two cores: `lqz train OneHour dataset=Cifar10`.

    Binary from the start and from labels alone, without the hours of a teacher and a first stage:
    44 epochs on crops of 24x24 pixels, 9 on whole images, batch 128, Adam 1e-2, held for two
    thirds of them and falling linearly in the last third. What it reaches:
    docs/results/cifar10.md. Without a data set: 11 epochs on the embedded Fashion-MNIST.
    """

    model: tf.keras.models.Model = ComponentField(ReActNet20Factory)
    epochs: int = Field(53)
    batch_size: int = Field(128)
    learning_rate: float = Field(1e-2)
    label_smoothing: float = Field(0.0)
    schedule: str = Field("held")
    schedule_every: str = Field("step")
    presets = {
        "FashionMNIST": EMBEDDED,
        "Cifar10": {**CIFAR, "crop_epochs": 44, "epochs": 9},
    }
