"""Stages and training programs made of them, for tests that compare or damage programs."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import tensorflow as tf

from training.loop.distribution.workers import alone
from training.loop.run import Run
from training.loop.stage_trainer import StageTrainer, StopFlag
from training.loop.step import TrainStep
from training.portable.program import ProgramRequest, write_program
from zoo.weights.files import read_arrays


def last_stage(recipe, directory: Path) -> StageTrainer:
    """Return the last stage of a recipe, with a teacher that was built but not trained."""
    execution = Run(recipe.plan(), alone())
    execution.decided = {"cache": "memory", "photographs": "pillow"}
    tf.keras.utils.set_random_seed(0)
    stages = {stage.name: stage for stage in recipe.planned_stages()}
    stage = replace(list(stages.values())[-1], initialize_from=None)
    teacher = stages[stage.teacher].build() if stage.teacher else None
    directory.mkdir()
    return StageTrainer(
        stage,
        TrainStep(stage, stage.build(), teacher),
        execution.pipeline(stage),
        directory,
        checkpoint_minutes=5,
        tensorboard=False,
        stop=StopFlag(),
    )


def as_program(trainer: StageTrainer, folder: Path) -> Path:
    write_program(ProgramRequest(folder), trainer, digest="0", index=1, name="Test")
    return folder


def train_here(
    trainer: StageTrainer, epochs: int, steps: int | None = None
) -> dict[str, np.ndarray]:
    """Make steps of `lqz train`; return everything that a checkpoint contains."""
    step = trainer.step
    for epoch in range(epochs):
        step.totals.assign(tf.zeros_like(step.totals))
        trainer.stage.each_epoch(step.model, epoch / trainer.stage.epochs)
        first = epoch * trainer.steps_per_epoch
        count = steps or trainer.steps_per_epoch
        rates = np.array([trainer._rate(first + i) for i in range(count)])
        step.run(iter(trainer.pipeline.train(epoch)), rates, first)
    return {key: variable.numpy() for key, variable in step.variables().items()}


def go_on(runner, folder: Path, steps: int = 10**9) -> dict[str, np.ndarray]:
    """Make at most `steps` steps of the program in this process; return its state."""
    program = runner.Program(folder)
    left = iter(range(steps))
    # Called before each epoch and after each step.
    asked = (lambda: next(left, None) is None) if steps < 10**9 else (lambda: False)
    runner.Trainer(program).train(lambda text: None, float("inf"), asked)
    return read_arrays(folder / "state.npz")
