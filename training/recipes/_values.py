"""What a training computes, as settings: a recipe is a table of their values.

No `from __future__ import annotations` here: Zookeeper needs annotations as types, not as text.
"""

import os
from collections.abc import Mapping
from typing import Annotated, ClassVar, Optional, Union

import tensorflow as tf

from training.data import ImageNet, RandomResizedCropFlip
from training.loop.optimizers import OPTIMIZERS
from training.loop.schedules import SCHEDULE_NAMES, SCHEDULE_UNITS
from training.loop.stage import DECAYED
from training.recipes._components import COMPONENTS
from zoo.adapters.zookeeper import ComponentField, Field
from zoo.adapters.zookeeper_tf import Dataset, Preprocessing
from zoo.limits import above, at_least, one_of


class TrainingValues:
    """All settings of a training. A default here changes nothing that a paper does not ask for.

    `training.settings.saved_config` knows these defaults: they are left out of a recipe's digest.
    A type says which values there are; what fits together, `training.loop.check_plan` checks.
    """

    # What the fields of components below can be: the names, and where each is defined.
    components: ClassVar[Mapping[str, Mapping[str, str]]] = COMPONENTS

    # What to train on: Cifar10, ImageNet, ImageFolder, FashionMNIST (in the package) or tfds:NAME.
    dataset: Dataset = ComponentField(ImageNet)

    # Decoding, augmentation and image size.
    preprocessing: Preprocessing = ComponentField(RandomResizedCropFlip)

    # The network to train.
    model: tf.keras.models.Model = ComponentField()

    # --- course -----------------------------------------------------------------------------------

    # Epochs of each stage of the network itself, on whole images.
    epochs: Annotated[int, at_least(0)] = Field(1)

    # Train with binary activations and real weights first, then with everything binary.
    two_stages: bool = Field(False)

    # Epochs of the first of two stages, where they differ.
    first_stage_epochs: Optional[Annotated[int, at_least(0)]] = Field(None)

    # Start the second stage's binary kernels from the first's, not afresh.
    carry_over_kernels: bool = Field(True)

    # Epochs, before the last stage's own, on the middle crop_size pixels of its images alone: they
    # cost less and teach nearly as much. For networks of images of any size.
    crop_epochs: Annotated[int, at_least(0)] = Field(0)

    # Height and width of those images.
    crop_size: Annotated[int, at_least(1)] = Field(24)

    # Images per update, over all workers.
    batch_size: Annotated[int, at_least(1)] = Field(128)

    # Parts of a batch whose gradients are computed one after the other and added up, which takes
    # less memory. Batch norm sees each part alone.
    accumulate: Annotated[int, at_least(1)] = Field(1)

    # Weights to start from: a file, or a registered set such as imagenet. All is taken but a
    # classifier for other classes.
    initialize_from: Optional[Union[str, os.PathLike]] = Field(None)

    # --- optimizer --------------------------------------------------------------------------------

    # Which optimizer.
    optimizer: Annotated[str, one_of(OPTIMIZERS)] = Field("adam")

    # Momentum of sgd.
    momentum: Annotated[float, at_least(0, below=1)] = Field(0.9)

    # Nesterov's form of it.
    nesterov: bool = Field(False)

    # Where the learning rate's schedule starts.
    learning_rate: Annotated[float, at_least(0)] = Field(1e-3)

    # Course of the learning rate; held is constant for two thirds, then linear.
    schedule: Annotated[str, one_of(SCHEDULE_NAMES)] = Field("linear")

    # Hold the learning rate within an epoch, as the authors' code does, or move it in every
    # step.
    schedule_every: Annotated[str, one_of(SCHEDULE_UNITS)] = Field("epoch")

    # With schedule=steps, divide the learning rate by 10 every so many epochs.
    divide_every: Annotated[int, at_least(0)] = Field(0)

    # With schedule=steps and divide_every=0, divide it by 10 at these shares of the epochs.
    divide_at: tuple[Annotated[float, above(0, below=1)], ...] = Field((0.5, 0.75))

    # Epochs at the start of each stage in which the learning rate rises from 0, step by step.
    warmup_epochs: Annotated[float, at_least(0)] = Field(0.0)

    # L2, added to the gradient; of two stages, the first's alone.
    weight_decay: Annotated[float, at_least(0)] = Field(0.0)

    # What weight decay acts on; convolutions are those and shifts, as in ReActNet's code.
    decayed: Annotated[str, one_of(DECAYED)] = Field("all")

    # Greatest norm of all gradients together, to which larger ones are scaled; 0 lets them be.
    gradient_clip: Annotated[float, at_least(0)] = Field(0.0)

    # Decay of a moving average of the weights, which is what is validated and saved; 0 for none.
    ema: Annotated[float, at_least(0, below=1)] = Field(0.0)

    # Sharpness t of an estimator that sharpens by epoch, as SD-BNN's: in the first epoch ...
    first_sharpness: Annotated[float, above(0)] = Field(1e-3)

    # ... and at the end.
    last_sharpness: Annotated[float, above(0)] = Field(10.0)

    # --- targets ----------------------------------------------------------------------------------

    # Share of the target that is spread evenly over all classes, where no teacher gives it.
    label_smoothing: Annotated[float, at_least(0, below=1)] = Field(0.0)

    # Gives the targets: as it is with weights, else trained first, for teacher_epochs.
    teacher: Optional[tf.keras.models.Model] = ComponentField(allow_missing=True)

    # Epochs of a teacher without weights.
    teacher_epochs: Annotated[int, at_least(0)] = Field(0)

    # Learning rate of the teacher, if it is trained (SGD, Nesterov momentum 0.9, cosine).
    teacher_learning_rate: Annotated[float, at_least(0)] = Field(0.1)

    # L2 of the teacher, if it is trained.
    teacher_weight_decay: Annotated[float, at_least(0)] = Field(1e-4)

    # --- numbers ----------------------------------------------------------------------------------

    # Of everything random: initial weights, order, augmentation.
    seed: Annotated[int, at_least(0, below=2**31)] = Field(0)

    # Same result to the bit on every run; switching it off may be faster on a GPU.
    deterministic: bool = Field(True)

    # Train binary convolutions in bfloat16: 8 bits, but faster. By default where the CPU has
    # instructions for it and there is no GPU.
    bfloat16: Optional[bool] = Field(None)

    # Share of images that may be unreadable before the run stops.
    corrupt_share: Annotated[float, at_least(0, below=1)] = Field(0.001)
