"""The settings that affect the result of a training. A recipe is a table of their values.

No `from __future__ import annotations` here: Zookeeper needs annotations as types, not as text.
"""

import os
from collections.abc import Mapping
from typing import Annotated, ClassVar, Optional, Union

import tensorflow as tf

from training.data import ImageNet, RandomResizedCropFlip
from training.loop.component_table import COMPONENTS
from training.loop.optimizers import OPTIMIZERS
from training.loop.schedules import SCHEDULE_NAMES, SCHEDULE_UNITS
from training.loop.stage import DECAYED
from zoo.adapters.zookeeper import ComponentField, Field
from zoo.adapters.zookeeper_tf import Dataset, Preprocessing
from zoo.limits import above, at_least, one_of


class TrainingValues:
    """All settings that affect the result. By default, every method of a paper is switched off.

    `training.settings.saved_config` knows these defaults and leaves them out of a recipe's digest.
    A type limits the values of one setting; `training.loop.check_plan` checks combinations.
    """

    # The valid components of each component field below: names, and where each is defined.
    components: ClassVar[Mapping[str, Mapping[str, str]]] = COMPONENTS

    # Data set: Cifar10, ImageNet, ImageFolder, FashionMNIST (in the package) or tfds:NAME.
    dataset: Dataset = ComponentField(ImageNet)

    # Decoding, augmentation and image size.
    preprocessing: Preprocessing = ComponentField(RandomResizedCropFlip)

    # The network to train.
    model: tf.keras.models.Model = ComponentField()

    # --- course -----------------------------------------------------------------------------------

    # Epochs of each stage of the network on whole images.
    epochs: Annotated[int, at_least(0)] = Field(1)

    # First train with binary activations and real weights, then with everything binary.
    two_stages: bool = Field(False)

    # Epochs of the first of two stages, if different.
    first_stage_epochs: Optional[Annotated[int, at_least(0)]] = Field(None)

    # Start the second stage's binary kernels from the first stage's, not from new values.
    carry_over_kernels: bool = Field(True)

    # Epochs before the last stage's own, on the central crop_size pixels of each image: they cost
    # less and train nearly as well. Only for networks that accept any image size.
    crop_epochs: Annotated[int, at_least(0)] = Field(0)

    # Height and width of these crops.
    crop_size: Annotated[int, at_least(1)] = Field(24)

    # Images per update, over all workers.
    batch_size: Annotated[int, at_least(1)] = Field(128)

    # Number of parts of a batch whose gradients are computed in turn and summed; this takes less
    # memory. Batch norm uses each part separately.
    accumulate: Annotated[int, at_least(1)] = Field(1)

    # Weights to start from: a file, or a registered set such as imagenet. A classifier for
    # other classes is not loaded.
    initialize_from: Optional[Union[str, os.PathLike]] = Field(None)

    # --- optimizer --------------------------------------------------------------------------------

    # Which optimizer.
    optimizer: Annotated[str, one_of(OPTIMIZERS)] = Field("adam")

    # Momentum of sgd.
    momentum: Annotated[float, at_least(0, below=1)] = Field(0.9)

    # Nesterov momentum for sgd.
    nesterov: bool = Field(False)

    # Initial learning rate of the schedule.
    learning_rate: Annotated[float, at_least(0)] = Field(1e-3)

    # Learning rate schedule; held is constant for two thirds, then linear.
    schedule: Annotated[str, one_of(SCHEDULE_NAMES)] = Field("linear")

    # Hold the learning rate within an epoch, as the authors' code does, or update it in every
    # step.
    schedule_every: Annotated[str, one_of(SCHEDULE_UNITS)] = Field("epoch")

    # With schedule=steps, divide the learning rate by 10 after each such number of epochs.
    divide_every: Annotated[int, at_least(0)] = Field(0)

    # With schedule=steps and divide_every=0, divide it by 10 at these fractions of the epochs.
    divide_at: tuple[Annotated[float, above(0, below=1)], ...] = Field((0.5, 0.75))

    # Epochs at the start of each stage in which the learning rate rises from 0, step by step.
    warmup_epochs: Annotated[float, at_least(0)] = Field(0.0)

    # L2 weight decay, added to the gradient; with two stages, only in the first.
    weight_decay: Annotated[float, at_least(0)] = Field(0.0)

    # Variables with weight decay; convolutions means convolutions and shifts, as in ReActNet's
    # code.
    decayed: Annotated[str, one_of(DECAYED)] = Field("all")

    # Clip the norm of all gradients together to this value; 0: no clipping.
    gradient_clip: Annotated[float, at_least(0)] = Field(0.0)

    # Decay of a moving average of the weights, which is validated and saved; 0: no average.
    ema: Annotated[float, at_least(0, below=1)] = Field(0.0)

    # Sharpness t of an estimator that sharpens by epoch, such as SD-BNN's: in the first epoch ...
    first_sharpness: Annotated[float, above(0)] = Field(1e-3)

    # ... and at the end.
    last_sharpness: Annotated[float, above(0)] = Field(10.0)

    # --- targets ----------------------------------------------------------------------------------

    # Label smoothing: fraction of the target spread evenly over all classes; only without teacher.
    label_smoothing: Annotated[float, at_least(0, below=1)] = Field(0.0)

    # Network whose outputs are the targets; without weights, it is first trained for
    # teacher_epochs.
    teacher: Optional[tf.keras.models.Model] = ComponentField(allow_missing=True)

    # Epochs of a teacher without weights.
    teacher_epochs: Annotated[int, at_least(0)] = Field(0)

    # Learning rate of the teacher, if it is trained (SGD, Nesterov momentum 0.9, cosine).
    teacher_learning_rate: Annotated[float, at_least(0)] = Field(0.1)

    # L2 weight decay of the teacher, if it is trained.
    teacher_weight_decay: Annotated[float, at_least(0)] = Field(1e-4)

    # --- numbers ----------------------------------------------------------------------------------

    # Random seed of initial weights, order and augmentation.
    seed: Annotated[int, at_least(0, below=2**31)] = Field(0)

    # Bit-identical results in every run; False may be faster on a GPU.
    deterministic: bool = Field(True)

    # Train binary convolutions in bfloat16: 8 bits, but faster. By default if the CPU has
    # instructions for it and there is no GPU.
    bfloat16: Optional[bool] = Field(None)

    # Fraction of images that may be unreadable before the run stops.
    corrupt_share: Annotated[float, at_least(0, below=1)] = Field(0.001)
