"""Schedules of learning rates and other quantities. A schedule maps the

finished fraction of a stage, in [0, 1), to a factor in [0, 1].
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from zoo.errors import InvalidValueError

if TYPE_CHECKING:
    import tensorflow as tf

Schedule = Callable[[float], float]


def linear() -> Schedule:
    """Fall from 1 to 0 in a straight line (ReActNet, Bi-Real Net, SD-BNN on ImageNet)."""
    return lambda passed: 1 - passed


def cosine() -> Schedule:
    """Fall from 1 to 0 along half a cosine (SD-BNN on CIFAR-10)."""
    return lambda passed: 0.5 * (1 + math.cos(math.pi * passed))


def held(until: float = 2 / 3) -> Schedule:
    """Stay at 1 for the share `until`, then fall to 0 in a straight line (OneHour, BiRealNet20)."""
    return lambda passed: min(1.0, (1 - passed) / (1 - until))


def constant() -> Schedule:
    """Stay at 1."""
    return lambda passed: 1.0


def steps(at: Sequence[float], factor: float = 0.1) -> Schedule:
    """Multiply by `factor` at each share in `at` (XNOR-Net++, Bi-Real Net's pretraining)."""
    return lambda passed: factor ** sum(passed >= share for share in at)


def error_decay(first: float, last: float) -> Callable[[tf.keras.Model, float], None]:
    """Return a function that sets the sharpness t of every `EDESign`.

    t goes from `first` to `last` in equal steps of its logarithm, as in
    SD-BNN and IR-Net (1909.10788, section 3.3): t = first * (last / first) ** (epoch / epochs).
    """
    if not 0 < first <= last:
        raise InvalidValueError(
            f"A sharpness must start above 0 and rise, not go from {first} to {last}."
        )

    def sharpen(model: tf.keras.Model, passed: float) -> None:
        from zoo.quantizers import EDESign

        for layer in model.layers:
            for name in ("input_quantizer", "kernel_quantizer"):
                quantizer = getattr(layer, name, None)
                quantizer = getattr(quantizer, "ede", None) or quantizer
                if isinstance(quantizer, EDESign):
                    quantizer.t.assign(first * (last / first) ** passed)

    return sharpen


SCHEDULES: dict[str, Callable[[], Schedule]] = {
    "constant": constant,
    "cosine": cosine,
    "held": held,
    "linear": linear,
}

SCHEDULE_NAMES = (*SCHEDULES, "steps")
SCHEDULE_UNITS = ("epoch", "step")  # how often a learning rate changes


def named(name: str) -> Schedule:
    """Return the schedule of this name, one of `SCHEDULES`: those without required arguments."""
    return SCHEDULES[name]()


def learning_rate(
    schedule: Schedule,
    peak: float,
    step: int,
    steps_per_epoch: int,
    epochs: int,
    *,
    every: str = "step",
    warmup_epochs: float = 0.0,
) -> float:
    """Return the learning rate of one step.

    Args:
        schedule: maps the finished share of the stage to a factor.
        peak: the learning rate if the factor is 1.
        step: number of the step in the stage, from 0.
        steps_per_epoch: steps per epoch of the stage.
        epochs: epochs of the stage.
        every: "epoch" keeps the rate constant within an epoch, as the authors' code does; "step"
            changes it at each step.
        warmup_epochs: epochs in which the rate rises linearly from 0 to the schedule's, step by
            step (1706.02677, section 2.2).
    """
    unit = steps_per_epoch if every == "epoch" else 1
    passed = (step // unit) * unit / (steps_per_epoch * epochs)
    rate = peak * schedule(passed)
    warming = warmup_epochs * steps_per_epoch
    return rate * (step + 1) / warming if step + 1 < warming else rate
