"""A recipe's stages, run one after the other: from an empty or half-full directory to a model."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import tensorflow as tf
from zookeeper.core.component import base_getattr

from training.data import InputPipeline
from training.data.service import reachable
from training.data.storage import choose_cache
from training.loop.data_record import (
    began_before,
    check_classes,
    check_record,
    digest_of,
    record_of,
)
from training.loop.distribution.workers import Workers, check_batch_size, connect
from training.loop.initialization import hold_signs, initialize, start_from
from training.loop.progress import print_results, say
from training.loop.run_directory import RunDirectory
from training.loop.stage import Stage, StageResult
from training.loop.stage_trainer import (
    Interrupted,
    StageTrainer,
    StopFlag,
    checkpoint_bytes,
    devices,
)
from training.loop.step import TrainStep
from training.portable.program import ProgramRequest, write_program
from training.portable.take_back import ProgramState
from zoo.errors import InvalidValueError, RunError
from zoo.files import sha256, write_atomically
from zoo.models._functions import variant
from zoo.profile import profile
from zoo.weights.files import read_npz, write_npz, write_packed
from zoo.weights.load import find_weights
from zoo.weights.torch_state import load_torch_state

if TYPE_CHECKING:
    from training.recipes._recipe import Recipe


@dataclass
class TrainedRun:
    """What a run leaves: its directory, the results of its stages, the path of the saved model."""

    directory: Path
    results: list[StageResult]
    model_path: Path


def execute(
    recipe: Recipe, program: ProgramRequest | None = None, state: ProgramState | None = None
) -> TrainedRun | None:
    """Train all stages of `recipe`, or what is left of them, and report.

    Args:
        recipe: what to train.
        program: write the next unfinished stage there, as a program, instead of training it.
        state: what a program has trained; its stage goes on from there.

    Returns:
        None where a program was written.
    """
    workers = connect(recipe.strategy, recipe.rejoin_minutes)
    if workers.count > 1 and (program or state):
        raise InvalidValueError("A program is written and taken back by one process, not several.")
    with workers.quiet():
        return Run(recipe, workers, program=program, state=state).run()


@dataclass
class Run:
    """One run of a recipe on these workers.

    Attributes:
        recipe: what is run.
        workers: who runs it.
        stop: whether it was asked to stop.
        results, models: of the stages so far, by name.
        cache: where encoded images wait between epochs.
        program, state: see `execute`.
    """

    recipe: Recipe
    workers: Workers
    stop: StopFlag = field(default_factory=StopFlag)
    results: dict[str, StageResult] = field(default_factory=dict)
    models: dict[str, tf.keras.Model] = field(default_factory=dict)
    cache: str = field(init=False)
    program: ProgramRequest | None = None
    state: ProgramState | None = None

    def run(self) -> TrainedRun | None:
        """All stages, in order, and the report; None where the next is written as a program."""
        recipe, workers = self.recipe, self.workers
        dataset = base_getattr(recipe, "dataset")
        if workers.from_chief(lambda: began_before(recipe.directory)):
            dataset.find_as_before()
        say(recipe.introduction())
        for remark in dataset.remarks:
            say(remark)
        if recipe.deterministic:
            tf.config.experimental.enable_op_determinism()
        record = record_of(dataset)
        workers.check_same(
            {**recipe.identity, "validate_every": recipe.validate_every, "data": digest_of(record)}
        )
        if recipe.data_service:
            reachable(recipe.data_service)
        directory = RunDirectory(recipe.directory, recipe.config, recipe.places)
        stages = recipe.planned_stages()
        recipe.check()
        for stage in stages:
            if stage.weights:
                find_weights(stage.weights, recipe.model_name)  # before a teacher is trained
        for stage in stages:
            check_batch_size(stage.batch_size, workers.strategy.num_replicas_in_sync)
        workers.from_chief(lambda: check_classes(directory.path, recipe.config, record))
        workers.from_chief(directory.open)
        try:
            accept = recipe.accept_other_data
            workers.from_chief(lambda: check_record(directory.path, record, accept))
            self.cache, bfloat16 = workers.from_chief(lambda: self._decide(directory, stages[-1]))
            stages = [replace(stage, bfloat16=bfloat16) for stage in stages]
            with self.stop.listening():
                for index, stage in enumerate(stages, start=1):
                    with workers.strategy.scope():
                        trained = self._stage(directory, index, stage)
                    if not trained:
                        return None
        except Interrupted as interrupt:
            say(f"\n{interrupt} The same command continues from there ({directory.path}).")
            raise
        finally:
            directory.close()
        return workers.from_chief(lambda: self._report(directory, stages))

    def _decide(self, run: RunDirectory, stage: Stage) -> tuple[str, bool]:
        """The cache and whether to compute in bfloat16, as when the run began.

        Machines differ in memory and CPU; the order of images and the precision must not.
        """
        recipe = self.recipe
        cache = recipe.cache
        if cache == "auto":
            cache = choose_cache("auto", recipe.dataset, None)
        decided = run.decide({"cache": cache, "bfloat16": stage.bfloat16})
        if recipe.cache not in ("auto", decided["cache"]):
            raise RunError(
                f"The run in {run.path} began with cache={decided['cache']}, and cache={cache} has "
                "another order of images: leave cache away or choose another output_dir=..."
            )
        return decided["cache"], decided["bfloat16"]

    def _stage(self, run: RunDirectory, index: int, stage: Stage) -> bool:
        """Train one stage, or take what it left; False: it was written as a program instead."""
        directory = run.stage(index, stage.name)
        tf.keras.utils.set_random_seed(self.recipe.seed + index)
        model = self.models[stage.name] = stage.build()
        finished = self.workers.from_chief(lambda: run.finished(directory))
        if finished:
            weights = directory / finished.weights
            state = self.workers.from_chief(lambda: read_npz(weights, model.name))
            load_torch_state(model, state)
            self.results[stage.name] = finished
            say(f"Stage '{stage.name}' is finished: top-1 {finished.top1:.2f} %.")
            return True

        inputs = self._start(stage, model)
        pipeline = self.pipeline(stage)
        step = TrainStep(stage, model, self.models[stage.teacher] if stage.teacher else None)
        self.workers.from_chief(lambda: run.require_space(3 * checkpoint_bytes(step)))
        trainer = StageTrainer(
            stage, step, pipeline, directory, stop=self.stop, workers=self.workers,
            checkpoint_minutes=self.recipe.checkpoint_minutes,
            validate_every=self.recipe.validate_every, tensorboard=self.recipe.tensorboard,
        )  # fmt: skip
        if self.state and self.state.stage == stage.name:
            self.state.take_back(trainer)
        if self.program and not trainer.is_done():
            write_program(
                self.program, trainer, digest=self.recipe.digest, index=index,
                name=f"{type(self.recipe).__name__}, stage '{stage.name}'",
            )  # fmt: skip
            say(f"Written: {self.program.folder}, for Python with JAX and Pillow: python run.py")
            return False
        last = trainer.run()

        def record() -> StageResult:
            weights = directory / f"{model.name}.npz"
            write_npz(model, weights)
            result = StageResult(
                stage.name, last["validation_top1"], last["validation_top5"], last.get("top1"),
                pipeline.num_validation, stage.epochs, round(trainer.seconds, 1), weights.name,
                sha256(weights), inputs, devices(trainer.history),
            )  # fmt: skip
            run.finish(directory, result)
            return result

        self.results[stage.name] = self.workers.from_chief(record)
        return True

    def _start(self, stage: Stage, model: tf.keras.Model) -> dict[str, str]:
        """Give `model` what the stage starts from; sha256 of that and of its teacher, by name."""
        inputs = {}
        for source in filter(None, (stage.initialize_from, stage.teacher)):
            inputs[source] = self.results[source].sha256
        if stage.weights:
            factory = base_getattr(self.recipe, "model")
            inputs["initialize_from"] = start_from(model, factory, stage.weights)
        if stage.initialize_from:
            initialize(model, self.models[stage.initialize_from], stage.carry_over_kernels)
        if stage.hold_signs:
            hold_signs(model)
        return inputs

    def pipeline(self, stage: Stage) -> InputPipeline:
        """The stage's images, this worker's share of them."""
        recipe, workers = self.recipe, self.workers
        return InputPipeline(
            recipe.dataset, recipe.preprocessing, batch_size=stage.batch_size, seed=recipe.seed,
            cache=self.cache, cache_dir=recipe.cache_dir, corrupt_share=recipe.corrupt_share,
            shard=(workers.index, workers.count), data_service=recipe.data_service,
        )  # fmt: skip

    def _report(self, run: RunDirectory, stages: list[Stage]) -> TrainedRun:
        results = list(self.results.values())
        say("")
        print_results(results)
        source = run.stage(len(stages), stages[-1].name) / results[-1].weights
        weights = run.path / source.name
        write_atomically(weights, lambda file: file.write(source.read_bytes()))
        write_packed(self.models[stages[-1].name], weights.with_stem(f"{weights.stem}-packed"))
        # As one file with its architecture, and with probabilities instead of logits.
        path = weights.with_suffix(".keras")
        variant(base_getattr(self.recipe, "model"), weights=str(weights)).save(path)
        model = self.models[stages[-1].name]
        say(f"\n{model.name}: {profile(model)}")
        say(f"Saved: {path}")
        return TrainedRun(run.path, results, path)
