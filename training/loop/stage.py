"""The settings and the result of a stage. A stage trains one model; a recipe lists stages."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from training.loop.schedules import Schedule, error_decay, learning_rate, linear
from zoo.errors import InvalidValueError

if TYPE_CHECKING:
    import tensorflow as tf


def all_trainable(model: tf.keras.Model) -> Iterable[Any]:
    """Return every trainable variable."""
    return model.trainable_variables


def batch_norms(model: tf.keras.Model) -> Iterable[Any]:
    """Return the scales and shifts of batch norm."""
    import tensorflow as tf

    for layer in model.layers:
        if isinstance(layer, tf.keras.layers.BatchNormalization):
            yield from layer.trainable_variables


def kernels(model: tf.keras.Model) -> Iterable[Any]:
    """Return the kernels, without batch norm, scales and biases."""
    return [variable for variable in model.trainable_variables if "kernel" in variable.name]


def convolutions(model: tf.keras.Model) -> Iterable[Any]:
    """Return what ReActNet's code decays: 4-D parameters (also shifts) and convolutions."""
    from zoo.weights.torch_layout import entries

    for entry in entries(model):
        trainable = entry.variable is not None and entry.variable.trainable
        if trainable and (len(entry.oihw or entry.shape) == 4 or "conv" in entry.key):
            yield entry.variable


# The variables that weight decay acts on, by name.
DECAYED: dict[str, Callable[[tf.keras.Model], Iterable[Any]]] = {
    "all": all_trainable,
    "convolutions": convolutions,
    "kernels": kernels,
}


@dataclass(frozen=True)
class Stage:
    """The settings of one stage.

    Attributes:
        name: name of its directory and of its row in the results.
        build: builds the model, which must output logits; keyword arguments override the network's.
        epochs: number of epochs; 0 uses the model as built, with its weights.
        batch_size: images per step over all workers.
        accumulate: number of parts of a replica's images in a step; their gradients are summed.
        learning_rate: the rate if the schedule's factor is 1.
        schedule: see `training.loop.schedules`.
        schedule_every: "epoch" or "step".
        optimizer: makes the optimizer for a learning rate; one of Keras's `legacy` optimizers,
            which update each weight with one fused kernel.
        warmup_epochs: epochs at the start in which the learning rate rises from 0.
        gradient_clip: limit of the norm of all gradients of the loss together; 0 for no limit.
        ema: decay of a moving average of the weights, which is validated and saved; 0 for none.
            After n steps the decay is at most (1 + n) / (10 + n), so that short stages forget
            their first weights.
        weight_decay: L2 coefficient, added to the gradient (not decoupled) of some variables.
        decays: returns the variables of the model that weight decay acts on.
        trains: returns the variables of the model that the optimizer updates.
        each_epoch: called before each epoch with the model and the share of epochs that have
            passed, in [0, 1). It updates values that no optimizer updates. Default: sharpen every
            `EDESign`, as SD-BNN does on CIFAR-10; other models are unaffected.
        teacher: name of the stage with the model that outputs the targets; None: train on labels.
        label_smoothing: share of the target that is spread over all classes, if trained on labels.
        initialize_from: name of the stage that gives the initial weights.
        weights: the file or registered set of initial weights, instead of a stage.
        carry_over_kernels: whether to load the kernels that are binary in this stage.
        crop: train only on the centre of each image, with this height and width.
        bfloat16: compute binary convolutions in bfloat16.
        hold_signs: set latent kernels to their signs before training.
    """

    name: str
    build: Callable[..., tf.keras.Model]
    epochs: int
    batch_size: int
    learning_rate: float
    optimizer: Callable[[float], tf.keras.optimizers.legacy.Optimizer]
    schedule: Schedule = field(default_factory=linear)
    schedule_every: str = "epoch"
    warmup_epochs: float = 0.0
    accumulate: int = 1
    gradient_clip: float = 0.0
    ema: float = 0.0
    weight_decay: float = 0.0
    decays: Callable[[tf.keras.Model], Iterable[Any]] = all_trainable
    trains: Callable[[tf.keras.Model], Iterable[Any]] = all_trainable
    each_epoch: Callable[[tf.keras.Model, float], None] = field(
        default_factory=partial(error_decay, 1e-3, 10.0)
    )
    teacher: str | None = None
    label_smoothing: float = 0.0
    initialize_from: str | None = None
    weights: str | None = None
    carry_over_kernels: bool = True
    hold_signs: bool = False
    crop: int | None = None
    bfloat16: bool = False

    def __post_init__(self) -> None:
        if self.epochs < 0 or self.batch_size < 1:
            raise InvalidValueError(
                f"Stage '{self.name}' cannot have {self.epochs} epochs with batches of "
                f"{self.batch_size}: epochs must be 0 or more, batch_size 1 or more."
            )
        if self.accumulate < 1 or self.batch_size % self.accumulate:
            raise InvalidValueError(
                f"accumulate={self.accumulate} does not divide a batch of {self.batch_size} images "
                "into equal parts: give another number, or another batch_size."
            )

    def rate(self, step: int, steps_per_epoch: int) -> float:
        """Return the learning rate of a step of the stage, counted from 0."""
        return learning_rate(
            self.schedule,
            self.learning_rate,
            step,
            steps_per_epoch,
            self.epochs,
            every=self.schedule_every,
            warmup_epochs=self.warmup_epochs,
        )


def on_crops_first(stage: Stage, epochs: int, size: int, channels: int) -> list[Stage]:
    """Split `stage` in two: `epochs` on the central `size` pixels, then its epochs on whole images.

    Learning rate and estimator follow one schedule over both stages. A teacher sees the whole image
    in both.
    """
    total = epochs + stage.epochs

    def from_to(begin: int, end: int) -> dict[str, Any]:
        def of_both(passed: float) -> float:
            return (begin + passed * (end - begin)) / total

        return {
            "epochs": end - begin,
            "schedule": lambda passed: stage.schedule(of_both(passed)),
            "each_epoch": lambda model, passed: stage.each_epoch(model, of_both(passed)),
        }

    crops = replace(
        stage,
        name=f"{stage.name} crops",
        crop=size,
        build=partial(stage.build, input_shape=(None, None, channels)),
        **from_to(0, epochs),
    )
    whole = replace(
        stage,
        initialize_from=crops.name,
        carry_over_kernels=True,
        hold_signs=False,
        warmup_epochs=0.0,
        **from_to(epochs, total),
    )
    return [crops, whole]


@dataclass(frozen=True)
class StageResult:
    """The result of a finished stage.

    Attributes:
        name: the stage's name.
        top1, top5: accuracy on all validation images after the last epoch, in percent.
        train_top1: accuracy on the augmented training images of the last epoch, in percent; None
            for a model that was not trained here.
        images: number of validation images.
        epochs: number of epochs trained.
        seconds: training time over all sessions.
        weights: name of the weights' file in the stage's directory.
        sha256: sha256 of that file.
        inputs: sha256 of the initial weights and of the teacher's weights, by stage name.
        devices: which epochs ran where; empty for runs that are older than this field.
        ema: decay of the moving average that was saved; 0 if the weights were not averaged.
    """

    name: str
    top1: float
    top5: float
    train_top1: float | None
    images: int
    epochs: int
    seconds: float
    weights: str
    sha256: str
    inputs: dict[str, str]
    devices: str = ""
    ema: float = 0.0
