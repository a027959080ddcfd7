"""Measure the overhead of the training loop: its epochs and bare steps, alternately in one process.

The engine reads, augments and counts images, logs, writes TensorBoard's events and saves a
checkpoint per epoch. A bare step uses the same batch again and again. Each call of the compiled
loop takes half a second. After it we time the same number of bare steps, so that both run under the
same conditions. Validation is not counted, because bare steps have none. We measure wall time and
processor time.

Run from the repository root: python -m benchmarks.engine_overhead [--dataset Cifar10] [--epochs 3]
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf

from tools.tables import ENGINE_OVERHEAD, write_table
from training.loop import stage_trainer as engine
from training.loop.distribution.workers import alone
from training.loop.progress import stage_bar
from training.loop.run import Run
from training.loop.stage_trainer import StageTrainer, StopFlag
from training.loop.step import TrainStep
from training.recipes.sdbnn import SDBNNResNet20
from training.settings.configuration import configure_task

BATCH = 128


class Times(NamedTuple):
    """Seconds of wall time and of processor time."""

    clock: float
    cpu: float

    @staticmethod
    def now() -> Times:
        return Times(time.perf_counter(), time.process_time())

    def __sub__(self, before: Times) -> Times:
        return Times(self.clock - before.clock, self.cpu - before.cpu)


def measure(dataset: str, epochs: int, folder: Path) -> dict[str, object]:
    """Return milliseconds per step of both, and by how many percent the engine is slower."""
    settings = {
        "dataset": dataset,
        "batch_size": BATCH,
        "epochs": epochs + 1,
        "output_dir": folder / "run",
        "preprocessing.padding": 4,
        "preprocessing.flip": True,
    }
    recipe = configure_task(SDBNNResNet20, settings)
    [stage] = recipe.planned_stages()
    step = TrainStep(stage, stage.build(), None)
    pipeline = Run(recipe.plan(), alone()).pipeline(stage)
    trainer = StageTrainer(
        stage, step, pipeline, folder, checkpoint_minutes=10, tensorboard=True, stop=StopFlag()
    )
    images = next(iter(pipeline.train(0, 0, steps=1)))
    same = iter(tf.data.Dataset.from_tensors(images).repeat())
    call, validate = trainer._call, trainer._validate
    bare: list[Times] = []
    validating: list[Times] = []

    def call_both(epoch: int, batches: Iterator, rates: np.ndarray) -> None:
        call(epoch, batches, rates)
        totals = step.totals.numpy()
        before = Times.now()
        step.run(same, rates, 0)
        bare.append(Times.now() - before)
        step.totals.assign(totals)

    def timed_validation() -> dict[str, float]:
        before = Times.now()
        result = validate()
        validating.append(Times.now() - before)
        return result

    # Replace the methods of this trainer only; mypy would want a subclass.
    trainer._call, trainer._validate = call_both, timed_validation  # type: ignore[method-assign]
    pairs: list[tuple[Times, Times]] = []
    with stage_bar(stage.name, trainer.total_steps, 0) as bar:
        for epoch in range(epochs + 1):
            bare.clear()
            before = Times.now()
            trainer._epoch(epoch, bar)
            bare_total = Times(sum(t.clock for t in bare), sum(t.cpu for t in bare))
            if epoch:  # the first epoch compiles
                pairs.append((bare_total, Times.now() - before - bare_total - validating[-1]))
    clock = sorted(100 * (b.clock / a.clock - 1) for a, b in pairs)
    cpu = sorted(100 * (b.cpu / a.cpu - 1) for a, b in pairs)
    steps = pipeline.steps_per_epoch
    return {
        "network": "SDBNNResNet20",
        "dataset": dataset,
        "batch": BATCH,
        "steps": steps,
        "bare_ms": f"{1e3 * statistics.median(a.clock for a, _ in pairs) / steps:.1f}",
        "engine_ms": f"{1e3 * statistics.median(b.clock for _, b in pairs) / steps:.1f}",
        "overhead_percent": f"{statistics.median(clock):.1f}",
        "lowest": f"{clock[0]:.1f}",
        "highest": f"{clock[-1]:.1f}",
        "cpu_overhead_percent": f"{statistics.median(cpu):.1f}",
        "cpu_lowest": f"{cpu[0]:.1f}",
        "cpu_highest": f"{cpu[-1]:.1f}",
        "epochs": epochs,
        "cpus": os.cpu_count(),
        "tensorflow": tf.__version__,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", default="FashionMNIST")
    parser.add_argument("--epochs", type=int, default=3)
    options = parser.parse_args()
    # Double it: a call is timed together with the same number of bare steps.
    engine.SECONDS_PER_CALL *= 2
    with tempfile.TemporaryDirectory() as folder:
        row = measure(options.dataset, options.epochs, Path(folder))
    print(", ".join(f"{key} {value}" for key, value in row.items()))
    write_table(ENGINE_OVERHEAD, list(row), [row])


if __name__ == "__main__":
    main()
