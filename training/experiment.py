"""What every recipe shares: its fields, and running its stages one after the other.

No `from __future__ import annotations` here: Zookeeper needs annotations as types, not as text.
"""

import hashlib
import importlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Optional, Union

import numpy as np
import tensorflow as tf
from zookeeper import ComponentField, Field
from zookeeper.core.component import base_getattr
from zookeeper.tf import Dataset, Preprocessing

from training.configuration import component_name, resolved
from training.data import FashionMNIST, InputPipeline, RandomResizedCropFlip
from training.data.service import reachable
from training.data.storage import choose_cache
from training.discovery import fold
from training.distribution import Workers, check_batch_size, connect
from training.engine import Interrupted, StageTrainer, StopFlag, checkpoint_bytes
from training.initialization import hold_signs, initialize, start_from
from training.progress import print_results, say
from training.run_directory import RunDirectory
from training.stages import Stage, StageResult, on_crops_first
from training.step import TrainStep
from training.teachers import KerasApplicationFactory  # noqa: F401 (a component to choose)
from zoo import catalog
from zoo.convolution import cpu_multiplies_bfloat16
from zoo.errors import InvalidValueError
from zoo.files import sha256, write_atomically
from zoo.models._factory import variant
from zoo.profile import profile
from zoo.weights.store import find_weights
from zoo.weights.torch_state import load_torch_state, torch_state

for module in {row.module for row in catalog.rows(origin="zoo")}:
    importlib.import_module(module)  # their factories are components to choose

# Settings of a run that do not change what it computes.
OPERATIONAL = (
    "output_dir", "cache", "cache_dir", "checkpoint_minutes", "validate_every", "tensorboard",
    "strategy", "data_service", "rejoin_minutes",
)  # fmt: skip


@dataclass
class TrainedRun:
    """What a run leaves: its directory, the results of its stages, the path of the saved model."""

    directory: Path
    results: list[StageResult]
    model_path: Path


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
        return {"task": type(self).__name__, **settings}

    @property
    def directory(self) -> Path:
        """Where the run is kept: `output_dir`, else a folder named for the recipe's digest."""
        if self.output_dir is not None:
            return Path(self.output_dir).expanduser()
        digest = hashlib.sha256(json.dumps(self.config, sort_keys=True).encode()).hexdigest()[:8]
        dataset = type(base_getattr(self, "dataset")).__name__
        return Path("runs") / f"{type(self).__name__}-{dataset}-{digest}"

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
        from training.dry_run import describe

        for line in describe(self):
            say(line)

    def run(self) -> TrainedRun:
        """Train all stages, or what is left of them, and report."""
        workers = connect(self.strategy, self.rejoin_minutes)
        with workers.quiet():
            return self._run(workers)

    def _run(self, workers: Workers) -> TrainedRun:
        say(self.introduction())
        if self.deterministic:
            tf.config.experimental.enable_op_determinism()
        workers.check_same({**self.config, "validate_every": self.validate_every})
        if self.data_service:
            reachable(self.data_service)
        run = RunDirectory(self.directory, self.config)
        stages = self.planned_stages()
        self.check()
        for stage in stages:
            if stage.weights:
                find_weights(stage.weights, self._model_name)  # before a teacher is trained
        for stage in stages:
            check_batch_size(stage.batch_size, workers.strategy.num_replicas_in_sync)
        workers.from_chief(run.open)
        stop = StopFlag()
        try:
            with stop.listening():
                results: dict[str, StageResult] = {}
                models: dict[str, tf.keras.Model] = {}
                for index, stage in enumerate(stages, start=1):
                    with workers.strategy.scope():
                        self._stage(run, index, stage, results, models, stop, workers)
        except Interrupted as interrupt:
            say(f"\n{interrupt} The same command continues from there ({run.path}).")
            raise
        finally:
            run.close()
        return workers.from_chief(
            lambda: self._report(run, stages, list(results.values()), models[stages[-1].name])
        )

    def _stage(
        self, run: RunDirectory, index: int, stage: Stage, results: dict[str, StageResult],
        models: dict[str, tf.keras.Model], stop: StopFlag, workers: Workers,
    ) -> None:  # fmt: skip
        """Train one stage, or take what it left, into `results` and `models`."""
        directory = run.stage(index, stage.name)
        tf.keras.utils.set_random_seed(self.seed + index)
        model = models[stage.name] = stage.build()
        finished = workers.from_chief(lambda: run.finished(directory))
        if finished:
            state = workers.from_chief(lambda: _read(directory / finished.weights))
            load_torch_state(model, state)
            results[stage.name] = finished
            say(f"Stage '{stage.name}' is finished: top-1 {finished.top1:.2f} %.")
            return

        inputs = {}
        for source in filter(None, (stage.initialize_from, stage.teacher)):
            inputs[source] = results[source].sha256
        if stage.weights:
            factory = base_getattr(self, "model")
            inputs["initialize_from"] = start_from(model, factory, stage.weights)
        if stage.initialize_from:
            initialize(model, models[stage.initialize_from], stage.carry_over_kernels)
        if stage.hold_signs:
            hold_signs(model)
        pipeline = self._pipeline(stage, workers)
        step = TrainStep(stage, model, models[stage.teacher] if stage.teacher else None)
        workers.from_chief(lambda: run.require_space(3 * checkpoint_bytes(step)))
        trainer = StageTrainer(
            stage, step, pipeline, directory, checkpoint_minutes=self.checkpoint_minutes,
            tensorboard=self.tensorboard, stop=stop, workers=workers,
            validate_every=self.validate_every,
        )  # fmt: skip
        last = trainer.run()

        def record() -> StageResult:
            weights = directory / f"{model.name}.npz"
            write_atomically(weights, lambda file: np.savez(file, **torch_state(model)))
            result = StageResult(
                stage.name, last["validation_top1"], last["validation_top5"], last.get("top1"),
                pipeline.num_validation, stage.epochs, round(trainer.seconds, 1), weights.name,
                sha256(weights), inputs,
            )  # fmt: skip
            run.finish(directory, result)
            return result

        results[stage.name] = workers.from_chief(record)

    @property
    def _model_name(self) -> str:
        return component_name(type(base_getattr(self, "model")))

    def _computes_in_bfloat16(self) -> bool:
        if self.bfloat16 is not None:
            return self.bfloat16
        return cpu_multiplies_bfloat16() and not tf.config.list_physical_devices("GPU")

    def _pipeline(self, stage: Stage, workers: Workers) -> InputPipeline:
        cache = self.cache
        if cache == "auto":  # the machines' memory may differ, the order of images must not
            cache = workers.from_chief(lambda: choose_cache("auto", self.dataset, None))
        return InputPipeline(
            self.dataset, self.preprocessing, batch_size=stage.batch_size, seed=self.seed,
            cache=cache, cache_dir=self.cache_dir, corrupt_share=self.corrupt_share,
            shard=(workers.index, workers.count), data_service=self.data_service,
        )  # fmt: skip

    def _report(
        self, run: RunDirectory, stages: list[Stage], results: list[StageResult],
        model: tf.keras.Model,
    ) -> TrainedRun:  # fmt: skip
        say("")
        print_results(results)
        source = run.stage(len(stages), stages[-1].name) / results[-1].weights
        weights = run.path / source.name
        write_atomically(weights, lambda file: file.write(source.read_bytes()))
        # As one file with its architecture, and with probabilities instead of logits.
        path = weights.with_suffix(".keras")
        variant(base_getattr(self, "model"), weights=str(weights)).save(path)
        say(f"\n{model.name}: {profile(model)}")
        say(f"Saved: {path}")
        return TrainedRun(run.path, results, path)


def _read(path: Path) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as archive:
        return {key: archive[key] for key in archive.files}
