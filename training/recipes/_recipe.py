"""Turns a table of values into a recipe: its stages, its network and its plan.

No `from __future__ import annotations` here: Zookeeper needs annotations as types, not as text.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import tensorflow as tf

from training.data import TFDS, Cifar10, ImageNet
from training.data.conventions import preprocessing_of
from training.loop import optimizers, schedules
from training.loop.plan import Choice, Plan
from training.loop.progress import say
from training.loop.run import StageState, StageWriter, TrainedRun, execute
from training.loop.stage import DECAYED, Stage, on_crops_first
from training.recipes._networks import check_classes, file_of, network
from training.recipes._settings import OPERATIONAL, RunSettings
from training.recipes._values import TrainingValues
from training.settings import saved_config
from training.settings.components import component_name
from training.settings.configuration import configured_part
from training.settings.discovery import fold
from training.settings.resolution import resolved
from zoo.adapters.zookeeper import base_getattr
from zoo.adapters.zookeeper_tf import Dataset
from zoo.convolution import cpu_multiplies_bfloat16
from zoo.errors import InvalidValueError
from zoo.files import expanded
from zoo.models import ZooFactory


class Recipe(TrainingValues, RunSettings):
    """A training. The recipe of a paper is a subclass with the values of that paper."""

    # Name of the stage that trains the network as it is saved.
    last_stage: ClassVar[str] = "binary"

    # Settings that do not affect the result.
    operational: ClassVar[tuple[str, ...]] = OPERATIONAL

    # --- settings that follow from others ---------------------------------------------------------

    @classmethod
    def preset(cls, conf: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the settings that follow from `conf`. `conf` has priority: see `derived`."""
        dataset = conf.get("dataset")
        if fold(str(dataset)) == fold(TFDS.__name__):
            dataset = configured_part(cls, "dataset", conf)  # the object knows its image size
        known = dict(preprocessing_of(dataset)) if "dataset" in conf else {}
        if cls.derived.__func__ is not Recipe.derived.__func__:  # type: ignore[attr-defined]
            chosen = cls.derived(configured_part(cls, "dataset", conf), conf)
            known |= {key: choice.value for key, choice in chosen.items()}
        return known

    @classmethod
    def derived(cls, dataset: Dataset, conf: Mapping[str, Any]) -> Mapping[str, Choice]:
        """Return settings that the recipe chooses from its data set before the run; here none.

        `conf` holds the settings that the user gave; they have priority. The plan prints the chosen
        ones.
        """
        return {}

    # --- stages -----------------------------------------------------------------------------------

    def stages(self) -> list[Stage]:
        """Return the stages, in order; the last one trains the network that is saved."""
        last = self.stage(self.last_stage)
        if self.has_teacher:
            last = replace(last, teacher="teacher", label_smoothing=0.0)
        stages = [last]
        if self.two_stages:
            epochs = self.epochs if self.first_stage_epochs is None else self.first_stage_epochs
            first = replace(
                last,
                name="binary activations",
                build=self.network(binary_weights=False),
                epochs=epochs,
            )
            last = replace(
                last,
                build=self.network(binary_weights=True),
                weight_decay=0.0,
                initialize_from=first.name,
                carry_over_kernels=self.carry_over_kernels,
            )
            stages = [first, last]
        return [self.teacher_stage(), *stages] if self.has_teacher else stages

    def stage(self, name: str, **changes: Any) -> Stage:
        """Return a stage with this recipe's values, except for `changes`."""
        values: dict[str, Any] = {
            "build": self.network(),
            "epochs": self.epochs,
            "batch_size": self.batch_size,
            "accumulate": self.accumulate,
            "optimizer": optimizers.named(self.optimizer, self.momentum, self.nesterov),
            "learning_rate": self.learning_rate,
            "schedule": self.learning_rate_schedule(),
            "schedule_every": self.schedule_every,
            "warmup_epochs": self.warmup_epochs,
            "weight_decay": self.weight_decay,
            "decays": DECAYED[self.decayed],
            "gradient_clip": self.gradient_clip,
            "ema": self.ema,
            "label_smoothing": self.label_smoothing,
            "each_epoch": schedules.error_decay(self.first_sharpness, self.last_sharpness),
        }
        return Stage(name, **(values | changes))

    def learning_rate_schedule(self) -> schedules.Schedule:
        """Return the schedule of the last stage's epochs, including the epochs on crops."""
        if self.schedule != "steps":
            return schedules.named(self.schedule)
        if not self.divide_every:
            return schedules.steps(self.divide_at)
        epochs = self.crop_epochs + self.epochs
        return schedules.steps(
            [n / epochs for n in range(self.divide_every, epochs, self.divide_every)]
        )

    @property
    def has_teacher(self) -> bool:
        """Return whether a teacher computes the targets."""
        try:
            return base_getattr(self, "teacher") is not None
        except AttributeError:  # no class was chosen
            return False

    def teacher_stage(self) -> Stage:
        """Return the teacher's stage: it trains the teacher, or has 0 epochs if it has weights."""
        weights = base_getattr(self, "teacher").weights
        if weights is None and not self.teacher_epochs:
            raise InvalidValueError(
                "The teacher has random weights and would not be trained: give teacher.weights, or "
                "teacher_epochs above 0."
            )
        return Stage(
            "teacher",
            self.network("teacher"),
            0 if weights else self.teacher_epochs,
            self.batch_size,
            self.teacher_learning_rate,
            optimizers.sgd(nesterov=True),
            schedule=schedules.cosine(),
            schedule_every="step",
            weight_decay=self.teacher_weight_decay,
        )

    def planned_stages(self) -> list[Stage]:
        """Return the stages for the run: with this machine's precision and `initialize_from`."""
        bfloat16 = self._computes_in_bfloat16()
        stages = [replace(stage, bfloat16=bfloat16) for stage in self.stages()]
        if self.crop_epochs:
            height, width, channels = self.preprocessing.input_shape
            if not 0 < self.crop_size < min(height, width):
                raise InvalidValueError(
                    f"Crops of {self.crop_size}x{self.crop_size} must be smaller than the images, "
                    f"which are {height}x{width}: give a smaller crop_size, or crop_epochs=0."
                )
            stages[-1:] = on_crops_first(stages[-1], self.crop_epochs, self.crop_size, channels)
            try:  # now, not after hours: a network with weights per pixel cannot train on crops
                stages[-2].build()
            except InvalidValueError as error:
                raise InvalidValueError(
                    f"{error} Or train without crops with crop_epochs=0."
                ) from None
        if not any(stage.epochs for stage in stages):
            raise InvalidValueError("Nothing would be trained: epochs must be 1 or more.")
        for stage in stages:
            if stage.epochs and stage.warmup_epochs > stage.epochs:
                raise InvalidValueError(
                    f"A warm-up of {stage.warmup_epochs:g} epochs must not exceed the "
                    f"{stage.epochs} epochs of stage '{stage.name}': give fewer warmup_epochs."
                )
        if self.initialize_from is None:
            return stages
        if not isinstance(base_getattr(self, "model"), ZooFactory):
            raise InvalidValueError(
                f"{self.model_name} belongs to larq-zoo and is trained from random weights: "
                "remove initialize_from=."
            )
        teachers = {stage.teacher for stage in stages}
        first = next(stage for stage in stages if stage.name not in teachers)
        weights = str(self.initialize_from)
        return [replace(each, weights=weights) if each is first else each for each in stages]

    def check(self, find: Callable[..., Path | None]) -> frozenset[str]:
        """Check the weights that the networks are built with; called before training.

        Args:
            find: returns the file for the name of the weights and the name of the model, or None;
                such as `find_weights`.

        Returns:
            "model", "teacher" or both, if they have weights but no file for them.

        Raises:
            WeightsError: there are no such weights.
            InvalidValueError: a teacher's weights have other classes than the data set.
        """
        absent = []
        for part in ("model", "teacher") if self.has_teacher else ("model",):
            factory = base_getattr(self, part)
            path = file_of(factory, find)
            if factory.weights is not None and path is None:
                absent.append(part)
            elif path and part == "teacher":
                check_classes(factory, path, self.dataset.num_classes)
        return frozenset(absent)

    def network(self, field: str = "model", **overrides: Any) -> Callable[..., tf.keras.Model]:
        """Return a function that rebuilds the component `field` with other arguments and with
        logits as output."""
        return network(base_getattr(self, field), field, type(self).__name__, overrides)

    # --- what a run stores ------------------------------------------------------------------------

    @property
    def config(self) -> dict[str, Any]:
        """Return the resolved recipe: all settings that determine the result."""
        settings = {k: v for k, v in resolved(self).items() if k not in OPERATIONAL}
        return {"task": type(self).__name__, **settings}

    @property
    def places(self) -> tuple[str, ...]:
        """Return the keys of `config` that only say where the data are; the data may move."""
        published = isinstance(base_getattr(self, "dataset"), (Cifar10, ImageNet))
        return ("dataset.data_dir", "dataset.download") if published else ()

    @property
    def directory(self) -> Path:
        """Return the run's directory: `output_dir`, else a name with the recipe's digest."""
        if self.output_dir is not None:
            return expanded(self.output_dir)
        dataset = type(base_getattr(self, "dataset")).__name__
        return Path("runs") / f"{type(self).__name__}-{dataset}-{self.digest}"

    @property
    def digest(self) -> str:
        """Return the digest of `config` without `places`: eight hexadecimal digits."""
        return saved_config.digest(self.config, self.places)

    def introduction(self) -> str:
        """Return the run's first line."""
        dataset = self.dataset
        return (
            f"Training {type(self).__name__} on {dataset.title}: "
            f"{dataset.num_examples(dataset.train_split):,} images, {dataset.num_classes} classes."
        )

    # --- running ----------------------------------------------------------------------------------

    def dry_run(self) -> None:
        """Print what `run` would do."""
        from training.loop.dry_run import describe

        for line in describe(self.plan()):
            say(line)

    def run(self) -> TrainedRun:
        """Train all stages, or the remaining ones, and report."""
        run = self.train()
        assert run is not None  # without `program`
        return run

    def train(
        self, program: StageWriter | None = None, state: StageState | None = None
    ) -> TrainedRun | None:
        """Train as `run` does, with training programs (Zookeeper allows `run` no arguments).

        Args:
            program: writes the next unfinished stage as a program. Then nothing is trained and
                None is returned.
            state: what a program has trained elsewhere; its stage continues from there.
        """
        return execute(self.plan(), program, state)

    def plan(self) -> Plan:
        """Return everything that a run needs."""
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
            options=self.options,
            introduction=self.introduction,
            stages=self.planned_stages,
            check=self.check,
            derived=lambda: type(self).derived(base_getattr(self, "dataset"), self.config),
        )

    @property
    def model_name(self) -> str:
        """Return the catalog's name of the network that is trained."""
        return component_name(type(base_getattr(self, "model")))

    def _computes_in_bfloat16(self) -> bool:
        if self.bfloat16 is not None:
            return self.bfloat16
        return cpu_multiplies_bfloat16() and not tf.config.list_physical_devices("GPU")
