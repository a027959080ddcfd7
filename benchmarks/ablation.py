"""Measure the gain of each paper's idea on CIFAR-10: one backbone, one schedule, one change each.

Each row of `results/ablation.csv` is a training of the ResNet-20 body with a complete method, or
without one of its ideas, and its top-1 on all 10,000 test images. In the group `short schedule` it
is `RSign and RPReLU` with one setting changed. The learning rate falls linearly; SD-BNN's falls
along its cosine. Three of four epochs are on crops. XNOR-Net++'s factors may belong to single
pixels, so its trainings have fewer epochs, on whole images. The training with two stages uses whole
images in its first stage. Both kinds take the same time as the others.
The runs stay in `runs/ablation/` and resume; a finished run is not trained again.

Run from the repository root, with TFDS_DATA_DIR set (ten to twenty minutes each on one core; the
distributional loss needs the shipped RealResNet20):

    python -m benchmarks.ablation [--epochs 8] [--only NAME ...]
"""

# No `from __future__ import annotations` here: Zookeeper needs annotations as types, not as text.

import argparse
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from benchmarks import ablated_networks as ablated
from tools.tables import ABLATION, read_table, write_table
from training.loop.schedules import error_decay
from training.loop.stage import Stage
from training.recipes import Recipe
from training.recipes.one_hour import OneHour
from training.recipes.reactnet import ReActNet20
from training.recipes.sdbnn import SDBNNResNet20
from training.settings.configuration import configure_task
from zoo.adapters.zookeeper import task
from zoo.errors import InvalidValueError, ZooError

RUNS = Path("runs") / "ablation"
COLUMNS = ("idea", "variant", "top1", "train_top1", "epochs", "seed", "seconds", "command")


@task
class DecayingEstimator(OneHour):
    """Labels, Adam with a linearly falling rate, and an estimator that sharpens at each epoch."""

    def stages(self) -> list[Stage]:
        return [replace(stage, each_epoch=error_decay(0.1, 10.0)) for stage in super().stages()]


class OtherCourse(OneHour):
    """Another schedule of the learning rate."""

    @staticmethod
    def course(passed: float) -> float:
        """Return the factor, by the share of the training that has passed."""
        raise NotImplementedError

    def stages(self) -> list[Stage]:
        return [replace(stage, schedule=self.course) for stage in super().stages()]


@task
class WarmUp(OtherCourse):
    """The learning rate rises through the first tenth."""

    @staticmethod
    def course(passed: float) -> float:
        return min(10 * passed, 1.0) * (1 - passed)


@task
class FallingBySquare(OtherCourse):
    """The learning rate falls earlier, so that more time is spent at low rates with few flips."""

    @staticmethod
    def course(passed: float) -> float:
        return (1 - passed) ** 2


WHOLE = {"epochs": 0.7}  # takes the same time as CROPS_FIRST
CROPS_FIRST = {"crop_epochs": 3 / 4, "epochs": 1 / 4}


@dataclass(frozen=True)
class Variant:
    """One training.

    Attributes:
        idea: the idea that it tests.
        recipe: the task.
        settings: its settings, in addition to those that all variants share.
        epochs: shares of all epochs, by setting.
    """

    idea: str
    recipe: type
    settings: Mapping[str, Any]
    epochs: Mapping[str, float] = field(default_factory=lambda: CROPS_FIRST)


def _one_stage(idea: str, model: str | type, recipe: type = OneHour, **settings: Any) -> Variant:
    """Return a training with labels and Adam; by default the learning rate falls linearly."""
    return Variant(idea, recipe, {"model": model, "schedule": "linear", **settings})


def _scale(model: str | type, **settings: Any) -> Variant:
    """Return a training of learned scales: no crops, as factors may belong to single pixels.

    With a learning rate of 1e-2 they learn worse.
    """
    variant = _one_stage("learned scale", model, learning_rate=4e-3, **settings)
    return replace(variant, epochs=WHOLE)


def _self_distribution(**settings: Any) -> Variant:
    """Return a training of SD-BNN with its recipe's cosine and Adam: SGD flips too few signs."""
    adam = {"optimizer": "adam", "learning_rate": 1e-2, "weight_decay": 0.0}
    return Variant("self-distribution", SDBNNResNet20, {**adam, **settings})


def _short(
    recipe: type = OneHour,
    epochs: Mapping[str, float] = CROPS_FIRST,
    model: str | type = "ReActNet20",
    **settings: Any,
) -> Variant:
    """Return a variant of the group `short schedule`."""
    variant = _one_stage("short schedule", model, recipe, **settings)
    return replace(variant, epochs=epochs)


# The settings of trainings with labels only; the teacher is fixed, even if a better one exists.
TAUGHT = {
    "two_stages": True,
    "learning_rate": 1e-2,
    "weight_decay": 0.0,
    "teacher.weights": "cifar10",
}
TAUGHT_IN_ONE_STAGE = Variant(
    "distributional loss, stages",
    ReActNet20,
    {**TAUGHT, "carry_over_kernels": False},
    {**CROPS_FIRST, "first_stage_epochs": 0.0},
)
CASE_1 = {"model.scale": "case1"}

VARIANTS: dict[str, Variant] = {
    "straight-through": _one_stage("estimator", ablated.StraightThroughBiRealNet20Factory),
    "approximate sign": _one_stage("estimator", "BiRealNet20"),
    "error decay": _one_stage("estimator", ablated.DecayingBiRealNet20Factory, DecayingEstimator),
    "RSign and RPReLU": _one_stage("RSign, RPReLU", "ReActNet20"),
    "without RSign": _one_stage("RSign, RPReLU", ablated.PlainSignReActNet20Factory),
    "PReLU without shifts": _one_stage("RSign, RPReLU", ablated.PlainPReLUReActNet20Factory),
    "teacher, one stage": TAUGHT_IN_ONE_STAGE,
    "teacher, two stages": Variant(
        "distributional loss, stages",
        ReActNet20,
        TAUGHT,
        {"first_stage_epochs": 1 / 4, "crop_epochs": 1 / 2, "epochs": 1 / 8},  # takes the same time
    ),
    "constant scale": _scale(ablated.ConstantScaleXNORNet20Factory),
    **{
        f"scale of {case}": _scale("XNORNetPlusPlusResNet20", **{"model.scale": case})
        for case in ("case1", "case2", "case3", "case4")
    },
    "ASD and WSD": _self_distribution(),
    "without ASD": _self_distribution(model=ablated.UngatedSDBNNResNet20Factory),
    "without WSD": _self_distribution(model=ablated.PlainKernelSDBNNResNet20Factory),
    "ASD and WSD, the paper's SGD": Variant("self-distribution", SDBNNResNet20, {}),
    **{
        f"ASD and WSD, sharpness from {first}": _self_distribution(first_sharpness=first)
        for first in (0.1, 1.0)
    },
    "ASD and WSD, sharpness to 2": _self_distribution(last_sharpness=2.0),
    "ASD and WSD, rate held": _self_distribution(schedule="held"),
    "ASD and WSD, kernels clipped": _self_distribution(model=ablated.ClippedSDBNNResNet20Factory),
    "ASD and WSD, PReLU for hardtanh": _self_distribution(
        model=ablated.LeakingSDBNNResNet20Factory
    ),
    "ASD and WSD, PReLU for hardtanh, sharpness from 1.0": _self_distribution(
        model=ablated.LeakingSDBNNResNet20Factory, first_sharpness=1.0
    ),
    **{
        f"ASD and WSD, learning rate {rate}": _self_distribution(learning_rate=float(rate))
        for rate in ("2e-3", "3e-2")
    },
    "kernels next to zero": _short(model=ablated.NearZeroReActNet20Factory),
    "kernels not clipped": _short(model=ablated.UnclippedReActNet20Factory),
    "learning rate 4e-3": _short(learning_rate=4e-3),
    "learning rate 3e-2": _short(learning_rate=3e-2),
    "warm-up": _short(WarmUp),
    "falling by the square": _short(FallingBySquare),
    "held, falling in the last third": _short(schedule="held"),
    "held, with a teacher": replace(
        TAUGHT_IN_ONE_STAGE,
        idea="short schedule",
        settings={**TAUGHT_IN_ONE_STAGE.settings, "schedule": "held"},
    ),
    "label smoothing 0.1": _short(label_smoothing=0.1),
    "batch norm averages 100 batches": _short(model=ablated.SlowAverageReActNet20Factory),
    "whole images, at the same cost": _short(epochs=WHOLE),
    # Another network for the recipe OneHour; its factors fit images of any size.
    "XNOR-Net++ of case 1": _short(model="XNORNetPlusPlusResNet20", **CASE_1),
    "XNOR-Net++ of case 1, learning rate 4e-3": _short(
        model="XNORNetPlusPlusResNet20", learning_rate=4e-3, **CASE_1
    ),
}


def configured(name: str, epochs: int, seed: int) -> Recipe:
    """Return the recipe of a variant. Raises InvalidValueError if a part of it has no epoch."""
    variant = VARIANTS[name]
    shares = {"crop_epochs": 0}
    shares |= {key: round(share * epochs) for key, share in variant.epochs.items()}
    if any(share and not shares[key] for key, share in variant.epochs.items()):
        raise InvalidValueError(f"{epochs} epochs are too few for '{name}': take --epochs 8.")
    return configure_task(
        variant.recipe,
        {
            "dataset": "Cifar10",
            "batch_size": 128,
            "seed": seed,
            "schedule_every": "step",
            "output_dir": str(RUNS / f"{name} {epochs} {seed}"),
            **variant.settings,
            **shares,
        },
    )


def trained(name: str, epochs: int, seed: int) -> dict[str, Any]:
    """Train a variant, or load its finished run; return its row."""
    *others, last = configured(name, epochs, seed).run().results
    assert last.train_top1 is not None
    return {
        "idea": VARIANTS[name].idea,
        "variant": name,
        "top1": f"{last.top1:.2f}",
        "train_top1": f"{last.train_top1:.2f}",
        "epochs": "+".join(str(each.epochs) for each in [*others, last] if each.epochs),
        "seed": seed,
        "seconds": round(sum(each.seconds for each in [*others, last])),
        "command": shlex.join(
            [
                "python",
                "-m",
                "benchmarks.ablation",
                "--epochs",
                str(epochs),
                "--seed",
                str(seed),
                "--only",
                name,
            ]
        ),
    }


def main() -> None:
    """Train the variants of the command line, and store the row of each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    options = parser.parse_args()
    for name in options.only:
        print(f"\n{VARIANTS[name].idea}: {name}", flush=True)
        try:
            row = trained(name, options.epochs, options.seed)
        except ZooError as error:
            sys.exit(str(error))
        rows = [each for each in read_table(ABLATION) if each["command"] != row["command"]]
        rows = sorted([*rows, row], key=lambda each: list(VARIANTS).index(each["variant"]))
        write_table(ABLATION, COLUMNS, rows)


if __name__ == "__main__":
    main()
