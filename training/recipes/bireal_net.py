"""Bi-Real Net's training (1808.00278, sections 3.3, 3.4 and 4; and the authors' PyTorch code).

No `from __future__ import annotations` here: Zookeeper needs annotations as types, not as text.
"""

from typing import Annotated, Any, Optional

from training.data import Cifar10, PadCropFlip
from training.loop.schedules import constant
from training.loop.stage import Stage, batch_norms
from training.recipes._recipe import Recipe
from zoo.adapters.zookeeper import ComponentField, Field, task
from zoo.errors import InvalidValueError
from zoo.limits import at_least
from zoo.models.bireal_net import BiRealNet18Factory, BiRealNet20Factory


@task
class BiRealNet(Recipe):
    """Bi-Real Net 18, 34 or 50 on ImageNet, binary from the start, as the authors' code.

    56.4 % top-1 (18), 62.2 % (34), 62.6 % (50), all by the paper's longer way. Other networks:
    `model=BiRealNet34`, `model=BiRealNet50`.
    """

    model = ComponentField(BiRealNet18Factory)
    epochs = Field(256)
    batch_size = Field(512)
    learning_rate = Field(1e-3)
    label_smoothing = Field(0.1)


@task
class BiRealNet20(Recipe):
    """Bi-Real Net's method on ResNet-20 and CIFAR-10, for which the paper has no recipe.

    First on crops, then on whole images. Results: docs/results/cifar10.md.
    """

    dataset = ComponentField(Cifar10)
    preprocessing = ComponentField(PadCropFlip)
    model = ComponentField(BiRealNet20Factory)
    crop_epochs = Field(75)
    epochs = Field(20)
    batch_size = Field(128)
    learning_rate = Field(1e-2)
    schedule = Field("held")
    schedule_every = Field("step")
    validate_every = Field(5)


@task
class BiRealNetPaper(Recipe):
    """Bi-Real Net 18 on ImageNet, as in the paper; 56.4 % top-1.

    Four stages: a real-valued network with a leaky clip instead of the sign; the same with clip(-1,
    x, 1); the binary network with the magnitude-aware gradient; only batch norm, with the
    weights fixed at +-1. The 34: `model=BiRealNet34 epochs=40 batch_size=1024 learning_rate=0.08`;
    62.2 %.
    """

    model = ComponentField(BiRealNet18Factory)
    epochs = Field(20)
    batch_size = Field(128)
    optimizer = Field("sgd")
    learning_rate = Field(0.01)
    schedule = Field("steps")
    divide_at = Field((0.5, 0.75))

    # Epochs of each of the two real-valued networks, if different.
    pretraining_epochs: Optional[Annotated[int, at_least(0)]] = Field(None)

    # Epochs that train only batch norm, at the last learning rate.
    batch_norm_epochs: Annotated[int, at_least(0)] = Field(1)

    # Slope of the first network's clip beyond +-1.
    leak: Annotated[float, at_least(0)] = Field(0.1)

    def stages(self) -> list[Stage]:
        """Return the four stages of the paper; the last one trains the network that is saved."""
        if self.crop_epochs:
            raise InvalidValueError(
                "This recipe's last stage trains only batch norm: give crop_epochs=0."
            )
        if self.has_teacher or self.two_stages:
            raise InvalidValueError(
                "This recipe always has four stages: remove teacher and two_stages."
            )
        real: dict[str, Any] = {"binary_activations": False, "binary_weights": False}
        epochs = self.epochs if self.pretraining_epochs is None else self.pretraining_epochs
        return [
            self.stage(
                "leaky clip",
                build=self.network(**real, clip_slope=self.leak),
                epochs=epochs,
            ),
            self.stage(
                "clip",
                build=self.network(**real, clip_slope=0.0),
                epochs=epochs,
                initialize_from="leaky clip",
            ),
            self.stage(
                "binary",
                build=self.network(magnitude_aware_gradient=True),
                initialize_from="clip",
            ),
            self.stage(
                "batch norm",
                build=self.network(magnitude_aware_gradient=True),
                epochs=self.batch_norm_epochs,
                learning_rate=self.learning_rate / 100,
                schedule=constant(),
                trains=batch_norms,
                initialize_from="binary",
                hold_signs=True,
            ),
        ]
