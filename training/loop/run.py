"""Run a plan's stages one after the other, in a new or partly filled directory."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import tensorflow as tf

from training.data import InputPipeline
from training.loop.check_plan import check_plan
from training.loop.data_record import (
    began_before,
    check_record,
    digest_of,
    record_of,
)
from training.loop.decisions import decide
from training.loop.devices import devices
from training.loop.distribution.workers import Workers, connect
from training.loop.initialization import hold_signs, initialize, start_from
from training.loop.plan import Plan
from training.loop.progress import print_results, say
from training.loop.run_directory import RunDirectory
from training.loop.stage import Stage, StageResult
from training.loop.stage_trainer import StageTrainer, checkpoint_bytes
from training.loop.step import TrainStep
from training.loop.stopping import Interrupted, StopFlag
from training.terminal import outliving_readers
from zoo.errors import InvalidValueError
from zoo.files import sha256, write_atomically
from zoo.models import variant
from zoo.profile import profile
from zoo.saved import card_of_run, save_network
from zoo.weights.files import read_npz, write_npz, write_packed
from zoo.weights.torch_state import load_torch_state


class StageWriter(Protocol):
    """Writes a stage in another form instead of training it."""

    def write(self, trainer: StageTrainer, *, digest: str, index: int, name: str) -> str:
        """Write the stage in the state from which it would continue; return a sentence to print.

        Args:
            trainer: the trainer of the stage.
            digest: digest of the recipe.
            index, name: number and name of the stage.
        """


class StageState(Protocol):
    """The state of a stage that was trained elsewhere.

    Attributes:
        stage: name of the stage.
    """

    @property
    def stage(self) -> str: ...

    def take_back(self, trainer: StageTrainer) -> None:
        """Make this state the newest checkpoint of the stage."""


@dataclass
class TrainedRun:
    """The result of a run: its directory, its stages' results, the path of the saved model."""

    directory: Path
    results: list[StageResult]
    model_path: Path


def execute(
    plan: Plan, program: StageWriter | None = None, state: StageState | None = None
) -> TrainedRun | None:
    """Train all stages of `plan`, or the remaining ones, and report.

    Args:
        plan: what to train.
        program: writes the next unfinished stage as a program, instead of training it.
        state: the state that a program has trained; its stage continues from it.

    Returns:
        The result; None if a program was written.
    """
    workers = connect(plan.options.strategy, plan.options.rejoin_minutes)
    if workers.count > 1 and (program or state):
        raise InvalidValueError("--program and --from-program need a single process, not several.")
    with workers.quiet(), outliving_readers():
        return Run(plan, workers, program=program, state=state).run()


@dataclass
class Run:
    """One run of a plan on these workers.

    Attributes:
        plan: the plan to run.
        workers: the processes that run it.
        stop: whether the user or the system asked the run to stop.
        results, models: results and networks of the stages so far, by name.
        decided: decisions of the machine, see `decisions`.
        stage_count: number of stages in the plan.
        program, state: see `execute`.
    """

    plan: Plan
    workers: Workers
    stop: StopFlag = field(default_factory=StopFlag)
    results: dict[str, StageResult] = field(default_factory=dict)
    models: dict[str, tf.keras.Model] = field(default_factory=dict)
    decided: dict[str, Any] = field(init=False)
    stage_count: int = field(init=False)
    program: StageWriter | None = None
    state: StageState | None = None

    def run(self) -> TrainedRun | None:
        """Run all stages in order and report; None if the next stage was written as a program."""
        plan, options, workers = self.plan, self.plan.options, self.workers
        dataset = plan.dataset
        if workers.from_chief(lambda: began_before(plan.directory)):
            dataset.find_as_before()
        say(plan.introduction())
        for remark in dataset.remarks:
            say(remark)
        for line in plan.choices():
            say(line)
        if plan.deterministic:
            tf.config.experimental.enable_op_determinism()
        record = record_of(dataset)
        workers.check_same(
            {**plan.identity, "validate_every": options.validate_every, "data": digest_of(record)}
        )
        checked = check_plan(
            plan,
            record,
            replicas=workers.strategy.num_replicas_in_sync,
            fetch=True,
            on_chief=workers.from_chief,
            trains_here=self.program is None,
        )
        for remark in checked.remarks:
            say(remark)
        stages = checked.stages
        del checked  # free its networks, which were built only to check shapes
        self.stage_count = len(stages)
        directory = RunDirectory(plan.directory, plan.config, plan.places)
        workers.from_chief(directory.open)
        try:
            accept = options.accept_other_data
            workers.from_chief(lambda: check_record(directory.path, record, accept))
            bfloat16 = stages[-1].bfloat16
            if (self.program or self.state) and plan.config.get("bfloat16") is None:
                bfloat16 = False  # only a CPU prefers it, and a program is for an accelerator
            self.decided = workers.from_chief(lambda: decide(plan, directory, bfloat16))
            stages = [replace(stage, bfloat16=self.decided["bfloat16"]) for stage in stages]
            with self.stop.listening():
                for index, stage in enumerate(stages, start=1):
                    with workers.strategy.scope():
                        trained = self._stage(directory, index, stage)
                    if not trained:
                        return None
            # Report before the directory is released: then another process may change its files.
            return workers.from_chief(lambda: self._report(directory, stages))
        except Interrupted as interrupt:
            say(f"\n{interrupt} The same command continues from there ({directory.path}).")
            raise
        finally:
            directory.close()

    def _stage(self, run: RunDirectory, index: int, stage: Stage) -> bool:
        """Train a stage, or load its result if it is finished; False if written as a program."""
        directory = run.stage(index, stage.name)
        tf.keras.utils.set_random_seed(self.plan.seed + index)
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
        teacher = self.models[stage.teacher] if stage.teacher else None
        step = TrainStep(stage, model, teacher, self.plan.preprocessing.normalise)
        self.workers.from_chief(lambda: run.require_space(self._needed_bytes(step, index)))
        options = self.plan.options
        trainer = StageTrainer(
            stage,
            step,
            pipeline,
            directory,
            stop=self.stop,
            workers=self.workers,
            checkpoint_minutes=options.checkpoint_minutes,
            validate_every=options.validate_every,
            tensorboard=options.tensorboard,
            whose=f"{self.plan.digest} {stage.name}",
        )
        if self.state and self.state.stage == stage.name:
            self.state.take_back(trainer)
        if self.program and not trainer.is_done():
            name = f"{self.plan.recipe}, stage '{stage.name}'"
            say(self.program.write(trainer, digest=self.plan.digest, index=index, name=name))
            return False
        last = trainer.run()

        def record() -> StageResult:
            weights = directory / f"{model.name}.npz"
            write_npz(model, weights, card=card_of_run(run.path))
            result = StageResult(
                stage.name,
                last["validation_top1"],
                last["validation_top5"],
                last.get("top1"),
                pipeline.num_validation,
                stage.epochs,
                round(trainer.seconds, 1),
                weights.name,
                sha256(weights),
                inputs,
                devices(trainer.history),
                stage.ema,
            )
            run.finish(directory, result)
            return result

        self.results[stage.name] = self.workers.from_chief(record)
        return True

    def _needed_bytes(self, step: TrainStep, index: int) -> int:
        """Estimate the largest size of the run's directory in bytes, as known in this stage.

        We assume that networks of later stages are as large as this one. So if the disk is too
        small, the run stops before its first stage.
        """
        weights = sum(math.prod(each.shape) * each.dtype.size for each in step.model.weights)
        later = self.stage_count - index
        before = sum(
            math.prod(each.shape) * each.dtype.size
            for model in list(self.models.values())[:-1]
            for each in model.weights
        )
        # Two checkpoints and one that is being written; the weights of each stage; and the final
        # weights three more times: plain, packed, and with the architecture.
        return before + 3 * checkpoint_bytes(step) + (1 + later + 3) * weights

    def _start(self, stage: Stage, model: tf.keras.Model) -> dict[str, str]:
        """Load the initial weights into `model`; return their and the teacher's sha256 by name."""
        inputs = {}
        for source in filter(None, (stage.initialize_from, stage.teacher)):
            inputs[source] = self.results[source].sha256
        if stage.weights:
            inputs["initialize_from"] = start_from(model, self.plan.factory, stage.weights)
        if stage.initialize_from:
            initialize(model, self.models[stage.initialize_from], stage.carry_over_kernels)
        if stage.hold_signs:
            hold_signs(model)
        return inputs

    def pipeline(self, stage: Stage) -> InputPipeline:
        """Return the input pipeline of the stage, with this worker's share of the images."""
        plan, workers = self.plan, self.workers
        return InputPipeline(
            plan.dataset,
            plan.preprocessing,
            batch_size=stage.batch_size,
            seed=plan.seed,
            cache=self.decided["cache"],
            cache_dir=plan.options.cache_dir,
            corrupt_share=plan.corrupt_share,
            shard=(workers.index, workers.count),
            data_service=plan.options.data_service,
            photographs=self.decided["photographs"],
        )

    def _report(self, run: RunDirectory, stages: list[Stage]) -> TrainedRun:
        results = list(self.results.values())
        say("")
        print_results(results)
        source = run.stage(len(stages), stages[-1].name) / results[-1].weights
        weights = run.path / source.name
        write_atomically(weights, lambda file: file.write(source.read_bytes()))
        card = card_of_run(run.path)
        packed = weights.with_stem(f"{weights.stem}-packed")
        write_packed(self.models[stages[-1].name], packed, card)
        # Save one file with the architecture; this network outputs probabilities, not logits.
        path = weights.with_suffix(".keras")
        save_network(variant(self.plan.factory, weights=str(weights)), path, card)
        model = self.models[stages[-1].name]
        say(f"\n{model.name}: {profile(model)}")
        if stages[-1].ema:
            say(f"Its weights are a moving average with decay {stages[-1].ema:g}.")
        say(f"Saved: {path}")
        return TrainedRun(run.path, results, path)
