"""What the engine costs: its epochs against bare training steps, in turns in one process.

The engine reads, decodes and augments the embedded images, counts, logs, writes TensorBoard's
events and saves a checkpoint an epoch. A bare step gets the same batch over and over. Validation,
which no bare step has, is not counted.

Run from the repository root: python -m benchmarks.engine_overhead [--rounds 6]
"""

from __future__ import annotations

import argparse
import csv
import os
import statistics
import tempfile
import time
from pathlib import Path

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


def measure(rounds: int, folder: Path) -> dict[str, object]:
    """Milliseconds per step of both, and by how much the engine's take longer."""
    settings = {"batch_size": BATCH, "epochs": rounds + 1, "output_dir": folder / "run"}
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

    def bare() -> float:
        start = time.perf_counter()
        step.run(same, np.full(steps, 1e-3), 0)
        return time.perf_counter() - start

    validating: list[float] = []
    validate = trainer._validate

    def timed_validation() -> dict[str, float]:
        start = time.perf_counter()
        result = validate()
        validating.append(time.perf_counter() - start)
        return result

    trainer._validate = timed_validation  # type: ignore[method-assign]

    def engine(turn: int) -> float:
        start = time.perf_counter()
        trainer._epoch(turn, bar)
        return time.perf_counter() - start - validating[-1]

    times: dict[str, list[float]] = {"bare": [], "engine": []}
    with stage_bar(stage.name, trainer.total_steps, 0) as bar:
        for turn in range(rounds + 1):
            for kind, seconds in (("bare", bare()), ("engine", engine(turn))):
                if turn:  # the first compiles
                    times[kind].append(1e3 * seconds / steps)
    shares = [b / a - 1 for a, b in zip(times["bare"], times["engine"], strict=True)]
    return {
        "network": "SDBNNResNet20",
        "batch": BATCH,
        "bare_ms": f"{statistics.median(times['bare']):.1f}",
        "engine_ms": f"{statistics.median(times['engine']):.1f}",
        "overhead_percent": f"{100 * statistics.median(shares):.1f}",
        "lowest": f"{100 * min(shares):.1f}",
        "highest": f"{100 * max(shares):.1f}",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=6)
    with tempfile.TemporaryDirectory() as folder:
        row = measure(parser.parse_args().rounds, Path(folder))
    print(", ".join(f"{key} {value}" for key, value in row.items()))
    with RESULTS.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, row.keys(), lineterminator="\n")
        writer.writeheader()
        writer.writerow(row)


if __name__ == "__main__":
    main()
