"""ReActNet's training (2003.03488, section 5.1, and the authors' code).

No `from __future__ import annotations` here: Zookeeper needs annotations as types, not as text.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import tensorflow as tf
from zookeeper import ComponentField, Field, task

from training.experiment import Recipe
from training.schedules import cosine, named
from training.stages import Stage
from zoo.models.reactnet import ReActNet18Factory, ReActNetAFactory
from zoo.models.resnet import RealResNet34Factory
from zoo.weights._torch_layout import entries

# What fits data sets of small images, where the teacher is trained on the spot.
SMALL_IMAGES = {
    "preprocessing": "PadCropFlip",
    "teacher": "RealResNet20",
    "teacher_epochs": 6,
    "schedule_every": "step",
}

# The embedded images, in minutes on two cores.
EMBEDDED = {
    **SMALL_IMAGES,
    "preprocessing.input_shape": (28, 28, 1),
    # Too few images and epochs for augmentation: the network under-fits.
    "preprocessing.padding": 0,
    "preprocessing.flip": False,
    "teacher.width": 0.5,
    "teacher_epochs": 6,
    "first_stage_epochs": 2,
    "epochs": 10,
    "batch_size": 64,
    "learning_rate": 1e-2,
    "schedule": "cosine",
}


def decayed(model: tf.keras.Model) -> Iterable[Any]:
    """What the authors' code decays: 4-D parameters (shifts are, too) and convolutions."""
    for entry in entries(model):
        trainable = entry.variable is not None and entry.variable.trainable
        if trainable and (len(entry.oihw or entry.shape) == 4 or "conv" in entry.key):
            yield entry.variable


class ReActNetRecipe(Recipe):
    """The stages: a real-valued teacher, binary activations, then everything binary."""

    # The network.
    model: tf.keras.models.Model = ComponentField(ReActNetAFactory)

    # Gives the targets. With weights it is taken as it is, else it is trained first.
    teacher: tf.keras.models.Model = ComponentField(RealResNet34Factory, weights="imagenet")

    # Epochs of the teacher, if it is trained.
    teacher_epochs: int = Field(0)

    # Learning rate of the teacher, if it is trained (SGD, momentum 0.9, cosine).
    teacher_learning_rate: float = Field(0.1)

    # Epochs of each of the two stages.
    epochs: int = Field(256)

    # Epochs of the first stage, where they differ.
    first_stage_epochs: int | None = Field(None)

    batch_size: int = Field(256)
    learning_rate: float = Field(5e-4)

    # Course of the learning rate: linear or cosine.
    schedule: str = Field("linear")

    # Hold the learning rate within an epoch, as the authors' code does, or not: epoch or step.
    schedule_every: str = Field("epoch")

    # L2 of the first stage, added to the gradient; the second has none.
    weight_decay: float = Field(1e-5)

    # Start the second stage's binary kernels from the first's (the paper), not afresh (as the
    # published code of ReActNet-A does, whose two stages name their kernels differently).
    carry_over_kernels: bool = Field(True)

    def stages(self) -> list[Stage]:
        def adam(learning_rate: float) -> tf.keras.optimizers.legacy.Optimizer:
            return tf.keras.optimizers.legacy.Adam(learning_rate, epsilon=1e-8)

        def sgd(learning_rate: float) -> tf.keras.optimizers.legacy.Optimizer:
            return tf.keras.optimizers.legacy.SGD(learning_rate, momentum=0.9, nesterov=True)

        first_epochs = self.epochs if self.first_stage_epochs is None else self.first_stage_epochs
        teacher = Stage(
            "teacher", self.network("teacher"), self.teacher_epochs, self.batch_size,
            self.teacher_learning_rate, sgd, schedule=cosine(), schedule_every="step",
            weight_decay=1e-4,
        )  # fmt: skip
        binary_activations = Stage(
            "binary activations", self.network(binary_weights=False), first_epochs,
            self.batch_size, self.learning_rate, adam, schedule=named(self.schedule),
            schedule_every=self.schedule_every, teacher="teacher",
            weight_decay=self.weight_decay, decays=decayed,
        )  # fmt: skip
        binary = replace(
            binary_activations, name="binary", build=self.network(binary_weights=True),
            epochs=self.epochs, weight_decay=0.0, initialize_from="binary activations",
            carry_over_kernels=self.carry_over_kernels,
        )  # fmt: skip
        return [teacher, binary_activations, binary]


@task
class ReActNet(ReActNetRecipe):
    """ReActNet-A, B or C: `lqz train ReActNet dataset=ImageNet dataset.data_dir=DIR`.

    The paper's: 256 epochs in each of two stages, batch 256, Adam 5e-4 falling linearly; 69.4 %
    top-1 on ImageNet. Half as long: `epochs=128 learning_rate=1.25e-3`.
    Other networks: `model=ReActNetB`, `model=ReActNetC`.

    Without a data set it trains a quarter as wide a network on the embedded Fashion-MNIST, in
    minutes on two cores.
    """

    presets = {
        "FashionMNIST": {**EMBEDDED, "model.width": 0.25, "model.stem_strides": 1},
        "Cifar10": {**SMALL_IMAGES, "model.width": 0.5, "model.stem_strides": 1},
    }


@task
class ReActNet18(ReActNetRecipe):
    """ReActNet-18, on Bi-Real Net's ResNet-18: `lqz train ReActNet18 dataset=ImageNet`.

    The authors': 256 epochs in each of two stages, batch 512, Adam 1e-3 falling linearly; 65.5 %
    top-1 on ImageNet. Half as long: `epochs=128 learning_rate=2.5e-3`.
    """

    model: tf.keras.models.Model = ComponentField(ReActNet18Factory)
    batch_size: int = Field(512)
    learning_rate: float = Field(1e-3)
    presets = {"FashionMNIST": EMBEDDED, "Cifar10": SMALL_IMAGES}
