"""What every recipe shares: its fields, its network and the plan of its stages.

No `from __future__ import annotations` here: Zookeeper needs annotations as types, not as text.
"""

import hashlib
import importlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Optional, Union

import tensorflow as tf
from zookeeper import ComponentField, Field
from zookeeper.core.component import base_getattr
from zookeeper.tf import Dataset, Preprocessing

from training.data import Cifar10, FashionMNIST, ImageNet, RandomResizedCropFlip
from training.loop.plan import Plan, RunOptions
from training.loop.progress import say
from training.loop.run import StageState, StageWriter, TrainedRun, execute
from training.loop.stage import Stage, on_crops_first
from training.recipes._teachers import KerasApplicationFactory  # noqa: F401 (a component to choose)
from training.settings.configuration import component_name, resolved
from training.settings.discovery import fold
from zoo import catalog
from zoo.convolution import cpu_multiplies_bfloat16
from zoo.errors import InvalidValueError
from zoo.models import variant

for module in {row.module for row in catalog.rows(origin="zoo")}:
    importlib.import_module(module)  # their factories are components to choose

# Settings of a run that do not say what it computes. (A run keeps the cache it began with.)
OPERATIONAL = ("output_dir", *(field.name for field in fields(RunOptions)))


class Recipe:
    """A paper's training as a list of stages. Subclasses define `stages`."""

    # What to train on: FashionMNIST (in the package), Cifar10, ImageNet or ImageFolder.
    dataset: Dataset = ComponentField(FashionMNIST)

    # Decoding, augmentation and image size.
    preprocessing: Preprocessing = ComponentField(RandomResizedCropFlip)

    # Epochs of each stage of the network itself, on whole images.
    epochs: int = Field(1)

    # Epochs, before the last stage's own, on the middle crop_size pixels of its images alone: they
    # cost less and teach nearly as much. For networks of images of any size.
    crop_epochs: int = Field(0)

    # Height and width of those images.
    crop_size: int = Field(24)

    # Images per step, over all workers.
    batch_size: int = Field(128)

    # Where the learning rate's schedule starts.
    learning_rate: float = Field(1e-3)

    # Of everything random: initial weights, order, augmentation.
    seed: int = Field(0)

    # Same result to the bit on every run; switching it off may be faster on a GPU.
    deterministic: bool = Field(True)

    # Train binary convolutions in bfloat16: 8 bits, but faster. By default where the CPU has
    # instructions for it and there is no GPU.
    bfloat16: Optional[bool] = Field(None)

    # Directory of the run; by default runs/TASK-DATASET-DIGEST, the digest being the recipe's.
    output_dir: Optional[Union[str, os.PathLike]] = Field(None)

    # Encoded images kept in memory, on disk, or read anew each epoch: auto, memory, disk, none.
    cache: str = Field("auto")

    # Where cache=disk keeps them.
    cache_dir: Optional[Union[str, os.PathLike]] = Field(None)

    # Share of images that may be unreadable before the run stops.
    corrupt_share: float = Field(0.001)

    # Minutes between checkpoints within an epoch; each epoch ends with one.
    checkpoint_minutes: float = Field(5.0)

    # Epochs from one look at the validation images to the next; after the last there always is one.
    validate_every: int = Field(1)

    # Write TensorBoard's event files.
    tensorboard: bool = Field(True)

    # Where to compute: auto, one_device, mirrored (the GPUs of one machine) or multi_worker
    # (machines that TF_CONFIG or Slurm names).
    strategy: str = Field("auto")

    # Minutes that a worker waits for the others, at the start and when one was lost.
    rejoin_minutes: float = Field(10.0)

    # Weights to start from: a file, or a registered set such as imagenet. All is taken but a
    # classifier for other classes.
    initialize_from: Optional[Union[str, os.PathLike]] = Field(None)

    # Continue a run although its data are not those it began with.
    accept_other_data: bool = Field(False)

    # Address (grpc://host:port) of a tf.data service that decodes and augments.
    data_service: Optional[str] = Field(None)

    # Settings by data set, for those whose images are not ImageNet's.
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}

    @classmethod
    def preset(cls, conf: Mapping[str, Any]) -> Mapping[str, Any]:
        """The settings that come with the data set that `conf` names, or with the default one."""
        dataset = conf.get("dataset", FashionMNIST)
        if not isinstance(dataset, str):
            dataset = component_name(dataset if isinstance(dataset, type) else type(dataset))
        return next((p for key, p in cls.presets.items() if fold(key) == fold(dataset)), {})

    def stages(self) -> list[Stage]:
        """The stages, in order; the last gives the network."""
        raise NotImplementedError

    def planned_stages(self) -> list[Stage]:
        """The stages as they are run: in this machine's precision, from `initialize_from`."""
        bfloat16 = self._computes_in_bfloat16()
        stages = [replace(stage, bfloat16=bfloat16) for stage in self.stages()]
        if self.crop_epochs:
            height, width, channels = self.preprocessing.input_shape
            if not 0 < self.crop_size < min(height, width):
                raise InvalidValueError(
                    f"crop_size={self.crop_size} must be less than the images' {height}x{width}."
                )
            stages[-1:] = on_crops_first(stages[-1], self.crop_epochs, self.crop_size, channels)
            try:  # now, not after hours: weights may belong to single pixels
                stages[-2].build()
            except InvalidValueError as error:
                raise InvalidValueError(f"{error} Or train without crops: crop_epochs=0.") from None
        if not 0 <= self.seed < 2**31:
            raise InvalidValueError(f"seed={self.seed} must be 0 or more and below 2^31.")
        if self.validate_every < 1:
            raise InvalidValueError(f"validate_every={self.validate_every} must be 1 or more.")
        if not any(stage.epochs for stage in stages):
            raise InvalidValueError("Nothing would be trained: epochs must be 1 or more.")
        if self.initialize_from is None:
            return stages
        teachers = {stage.teacher for stage in stages}
        first = next(stage for stage in stages if stage.name not in teachers)
        weights = str(self.initialize_from)
        return [replace(each, weights=weights) if each is first else each for each in stages]

    def check(self) -> None:
        """Raise InvalidValueError for what the stages alone do not show to be in vain."""

    # --- what stages are made of ------------------------------------------------------------------

    def network(self, field: str = "model", **overrides: Any) -> Callable[..., tf.keras.Model]:
        """A function that builds the component `field` anew with other arguments, giving logits."""
        factory = base_getattr(self, field)
        for name in overrides:
            if name not in factory.__component_fields__:
                raise InvalidValueError(
                    f"{type(self).__name__} cannot train {component_name(type(factory))}, which "
                    f"has no '{name}': choose another {field}=..."
                )
        return partial(variant, factory, **{"classifier_activation": None, **overrides})

    @property
    def config(self) -> dict[str, Any]:
        """The resolved recipe: what determines the result."""
        settings = {k: v for k, v in resolved(self).items() if k not in OPERATIONAL}
        # Runs from before there were these settings go on.
        if settings["initialize_from"] is None:
            del settings["initialize_from"]
        if not settings["crop_epochs"]:
            del settings["crop_epochs"], settings["crop_size"]
        if settings.get("dataset.split_seed") == 0:
            del settings["dataset.split_seed"]
        return {"task": type(self).__name__, **settings}

    @property
    def places(self) -> tuple[str, ...]:
        """The settings of `config` that say where the same data lies, which may move."""
        published = isinstance(base_getattr(self, "dataset"), (Cifar10, ImageNet))
        return ("dataset.data_dir", "dataset.download") if published else ()

    @property
    def identity(self) -> dict[str, Any]:
        """`config` without `places`: what two starts of the same run share."""
        return {key: value for key, value in self.config.items() if key not in self.places}

    @property
    def directory(self) -> Path:
        """Where the run is kept: `output_dir`, else a folder named for the recipe's digest."""
        if self.output_dir is not None:
            return Path(self.output_dir).expanduser()
        dataset = type(base_getattr(self, "dataset")).__name__
        return Path("runs") / f"{type(self).__name__}-{dataset}-{self.digest}"

    @property
    def digest(self) -> str:
        """Of the resolved recipe: eight hexadecimal digits."""
        settings = json.dumps(self.identity, sort_keys=True)
        return hashlib.sha256(settings.encode()).hexdigest()[:8]

    def introduction(self) -> str:
        """The run's first line."""
        dataset = self.dataset
        if isinstance(dataset, FashionMNIST):
            of_model = getattr(base_getattr(self, "model"), "default_weights", None)
            own = "Cifar10" if of_model == "cifar10" else "ImageNet"
            return (
                f"Training on the embedded Fashion-MNIST, "
                f"{dataset.num_examples(dataset.train_split):,} images. The full recipe: "
                f"lqz train {type(self).__name__} dataset={own} dataset.data_dir=DIR"
            )
        return (
            f"Training {type(self).__name__} on {type(dataset).__name__}: "
            f"{dataset.num_examples(dataset.train_split):,} images, {dataset.num_classes} classes."
        )

    # --- running ----------------------------------------------------------------------------------

    def dry_run(self) -> None:
        """Print what `run` would do."""
        from training.loop.dry_run import describe

        for line in describe(self.plan()):
            say(line)

    def run(self) -> TrainedRun:
        """Train all stages, or what is left of them, and report."""
        run = self.train()
        assert run is not None  # without `program`
        return run

    def train(
        self, program: StageWriter | None = None, state: StageState | None = None
    ) -> TrainedRun | None:
        """`run`, with training programs (Zookeeper lets `run` have no arguments).

        Args:
            program: writes the next unfinished stage instead; then None is returned.
            state: what was trained elsewhere: its stage goes on from there.
        """
        return execute(self.plan(), program, state)

    def plan(self) -> Plan:
        """The recipe as a run sees it."""
        return Plan(
            recipe=type(self).__name__,
            config=self.config,
            places=self.places,
            digest=self.digest,
            directory=self.directory,
            dataset=base_getattr(self, "dataset"),
            preprocessing=base_getattr(self, "preprocessing"),
            factory=base_getattr(self, "model"),
            model_name=self.model_name,
            seed=self.seed,
            deterministic=self.deterministic,
            corrupt_share=self.corrupt_share,
            options=RunOptions(
                **{each.name: getattr(self, each.name) for each in fields(RunOptions)}
            ),
            introduction=self.introduction,
            stages=self.planned_stages,
            check=self.check,
        )

    @property
    def model_name(self) -> str:
        """Of the network that is trained, as in the catalog."""
        return component_name(type(base_getattr(self, "model")))

    def _computes_in_bfloat16(self) -> bool:
        if self.bfloat16 is not None:
            return self.bfloat16
        return cpu_multiplies_bfloat16() and not tf.config.list_physical_devices("GPU")
