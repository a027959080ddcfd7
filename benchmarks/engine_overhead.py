"""What the engine costs: its epochs against bare training steps, in turns in one process.

The engine reads, decodes and augments the embedded images, counts, logs, writes TensorBoard's
events and saves a checkpoint an epoch. A bare step gets the same batch over and over. Validation,
which no bare step has, is not counted. Both are measured by the clock and by the processors' time,
which other programs on the machine disturb less.

Run from the repository root: python -m benchmarks.engine_overhead [--rounds 8]
"""

from __future__ import annotations

import argparse
import csv
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf

from training.configuration import configure_task
from training.distribution import alone
from training.engine import StageTrainer, StopFlag
from training.progress import stage_bar
from training.recipes.sdbnn import SDBNNResNet20
from training.step import TrainStep

RESULTS = Path(__file__).parents[1] / "results" / "engine_overhead.csv"
BATCH = 128


class Times(NamedTuple):
    """Seconds by the clock, and of the processors."""

    clock: float
    cpu: float

    @staticmethod
    def now() -> Times:
        return Times(time.perf_counter(), time.process_time())

    def __sub__(self, before: Times) -> Times:
        return Times(self.clock - before.clock, self.cpu - before.cpu)


def measure(rounds: int, folder: Path) -> dict[str, object]:
    """Milliseconds per step of both, and by how many percent the engine's take longer."""
    settings = {
        "batch_size": BATCH, "epochs": rounds + 1, "output_dir": folder / "run",
        # Short epochs, so that turns are short: the machine's own speed changes from minute to
        # minute.
        "dataset.train_split": "train[:5000]",
        "preprocessing.padding": 4, "preprocessing.flip": True,
    }  # fmt: skip
    recipe = configure_task(SDBNNResNet20, settings)
    [stage] = recipe.stages()
    step = TrainStep(stage, stage.build(), None)
    pipeline = recipe._pipeline(stage, alone())
    trainer = StageTrainer(
        stage, step, pipeline, folder, checkpoint_minutes=10, tensorboard=True, stop=StopFlag()
    )
    images = next(iter(pipeline.train(0, 0, steps=1)))
    same = iter(tf.data.Dataset.from_tensors(images).repeat())
    steps = pipeline.steps_per_epoch

    def bare(turn: int) -> Times:
        before = Times.now()
        step.run(same, np.full(steps, 1e-3), 0)
        return Times.now() - before

    validating: list[Times] = []
    validate = trainer._validate

    def timed_validation() -> dict[str, float]:
        before = Times.now()
        result = validate()
        validating.append(Times.now() - before)
        return result

    trainer._validate = timed_validation  # type: ignore[method-assign]

    def engine(turn: int) -> Times:
        before = Times.now()
        trainer._epoch(turn, bar)
        return Times.now() - before - validating[-1]

    kinds: list[tuple[list[Times], Callable[[int], Times]]] = [([], bare), ([], engine)]
    with stage_bar(stage.name, trainer.total_steps, 0) as bar:
        for turn in range(rounds + 1):
            for found, work in kinds if turn % 2 else reversed(kinds):
                found.append(work(turn))
    (bares, _), (engines, _) = kinds
    pairs = list(zip(bares, engines, strict=True))[1:]  # the first compiles
    clock = sorted(100 * (b.clock / a.clock - 1) for a, b in pairs)
    cpu = sorted(100 * (b.cpu / a.cpu - 1) for a, b in pairs)
    return {
        "network": "SDBNNResNet20",
        "batch": BATCH,
        "bare_ms": f"{1e3 * statistics.median(a.clock for a, _ in pairs) / steps:.1f}",
        "engine_ms": f"{1e3 * statistics.median(b.clock for _, b in pairs) / steps:.1f}",
        "overhead_percent": f"{statistics.median(clock):.1f}",
        "lowest": f"{clock[0]:.1f}",
        "highest": f"{clock[-1]:.1f}",
        "cpu_overhead_percent": f"{statistics.median(cpu):.1f}",
        "cpu_lowest": f"{cpu[0]:.1f}",
        "cpu_highest": f"{cpu[-1]:.1f}",
        "rounds": rounds,
        "cpus": os.cpu_count(),
        "tensorflow": tf.__version__,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=8)
    with tempfile.TemporaryDirectory() as folder:
        row = measure(parser.parse_args().rounds, Path(folder))
    print(", ".join(f"{key} {value}" for key, value in row.items()))
    with RESULTS.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, row.keys(), lineterminator="\n")
        writer.writeheader()
        writer.writerow(row)


if __name__ == "__main__":
    main()
