"""The two-stage training of binary networks with a teacher, as ReActNet and SD-BNN have it.

No `from __future__ import annotations` here: Zookeeper needs annotations as types, not as text.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import tensorflow as tf
from zookeeper import ComponentField, Field
from zookeeper.core.component import base_getattr

from training.loop.optimizers import adam, sgd
from training.loop.schedules import cosine, named
from training.loop.stage import Stage
from training.recipes._recipe import Recipe
from zoo.errors import InvalidValueError
from zoo.models import ZooFactory
from zoo.models.resnet import RealResNet34Factory
from zoo.weights.load import classes_of, find_weights


class DistilledTwoStages(Recipe):
    """A real-valued teacher, binary activations with real weights, then everything binary."""

    # Gives the targets: as it is with weights, else trained first, for teacher_epochs.
    teacher: tf.keras.models.Model = ComponentField(RealResNet34Factory, weights="imagenet")

    # Epochs of a teacher without weights.
    teacher_epochs: int = Field(0)

    # Learning rate of the teacher, if it is trained (SGD, Nesterov momentum 0.9, cosine).
    teacher_learning_rate: float = Field(0.1)

    # L2 of the teacher, if it is trained.
    teacher_weight_decay: float = Field(1e-4)

    # Epochs of each of the two stages.
    epochs: int = Field(256)

    # Epochs of the first stage, where they differ.
    first_stage_epochs: int | None = Field(None)

    # Course of the learning rate: linear, cosine or held (for two thirds, then linear).
    schedule: str = Field("linear")

    # Hold the learning rate within an epoch, as the authors' code does, or not: epoch or step.
    schedule_every: str = Field("epoch")

    # L2 of the first stage, added to the gradient; the second has none.
    weight_decay: float = Field(0.0)

    # Start the second stage's binary kernels from the first's (the papers), not afresh.
    carry_over_kernels: bool = Field(True)

    def decayed(self, model: tf.keras.Model) -> Iterable[Any]:
        """The variables that weight decay acts on."""
        return model.trainable_variables

    def check(self) -> None:
        """Raise InvalidValueError for a teacher that knows other classes than the data set's."""
        teacher, own = base_getattr(self, "teacher"), self.dataset.num_classes
        if teacher.weights is None or not isinstance(teacher, ZooFactory):
            return  # Keras's applications refuse other classes themselves
        name = teacher.catalog_name
        known = classes_of(find_weights(teacher.weights, name), name, teacher.classifier_name)
        if known not in (None, own):
            raise InvalidValueError(
                f"The teacher {name} with weights '{teacher.weights}' tells {known} classes apart, "
                f"the data set has {own}: train a teacher (teacher.weights=None "
                "teacher_epochs=30), or take a recipe without one, such as lqz train OneHour."
            )

    def stages(self) -> list[Stage]:
        first_epochs = self.epochs if self.first_stage_epochs is None else self.first_stage_epochs
        weights = base_getattr(self, "teacher").weights
        teacher_epochs = 0 if weights else self.teacher_epochs
        if not teacher_epochs and weights is None:
            raise InvalidValueError(
                "The teacher has random weights and is not trained: give teacher.weights, or "
                "teacher_epochs above 0."
            )
        teacher = Stage(
            "teacher", self.network("teacher"), teacher_epochs, self.batch_size,
            self.teacher_learning_rate, sgd(nesterov=True), schedule=cosine(),
            schedule_every="step", weight_decay=self.teacher_weight_decay,
        )  # fmt: skip
        binary_activations = Stage(
            "binary activations", self.network(binary_weights=False), first_epochs,
            self.batch_size, self.learning_rate, adam, schedule=named(self.schedule),
            schedule_every=self.schedule_every, teacher="teacher",
            weight_decay=self.weight_decay, decays=self.decayed,
        )  # fmt: skip
        binary = replace(
            binary_activations, name="binary", build=self.network(binary_weights=True),
            epochs=self.epochs, weight_decay=0.0, initialize_from="binary activations",
            carry_over_kernels=self.carry_over_kernels,
        )  # fmt: skip
        return [teacher, binary_activations, binary]
