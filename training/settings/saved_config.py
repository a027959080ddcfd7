"""The formats of a run's `config.json` in the versions of this package.

Format 2 holds every setting. Format 1, which has no number, lacks the settings that a recipe did
not have at that time. This file holds their values, so that old runs continue and keep their names.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from zoo.errors import RunError

FORMAT = 2
NUMBER = "format"

# The value of each setting in runs that are older than the setting: a value without effect. Add a
# line for each new setting, so that no run changes its name.
NEUTRAL: Mapping[str, Any] = {
    "accumulate": 1,
    "carry_over_kernels": True,
    "crop_epochs": 0,
    "crop_size": 24,
    "dataset.split_seed": 0,
    "decayed": "all",
    "divide_at": [0.5, 0.75],
    "divide_every": 0,
    "ema": 0.0,
    "first_sharpness": 1e-3,
    "first_stage_epochs": None,
    "gradient_clip": 0.0,
    "initialize_from": None,
    "label_smoothing": 0.0,
    "last_sharpness": 10.0,
    "momentum": 0.9,
    "nesterov": False,
    "optimizer": "adam",
    "schedule": "linear",
    "schedule_every": "epoch",
    "teacher_epochs": 0,
    "teacher_learning_rate": 0.1,
    "teacher_weight_decay": 1e-4,
    "two_stages": False,
    "warmup_epochs": 0.0,
    "weight_decay": 0.0,
}


@dataclass(frozen=True)
class Former:
    """A recipe as it was in format 1.

    Attributes:
        had: the settings in NEUTRAL that it had.
        implied: missing settings whose value was not neutral, with the value in its code then.
    """

    had: frozenset[str]
    implied: Mapping[str, Any] = field(default_factory=dict)


def _former(had: str, **implied: Any) -> Former:
    return Former(frozenset(had.split()), implied)


_ONE_STAGE = _former("label_smoothing schedule schedule_every")
_TWO_STAGES = (
    "carry_over_kernels first_stage_epochs schedule schedule_every teacher_epochs "
    "teacher_learning_rate teacher_weight_decay weight_decay"
)
_REACTNET = _former(_TWO_STAGES, two_stages=True, decayed="convolutions")
_SHARPENING = _former(
    "first_sharpness label_smoothing last_sharpness optimizer schedule schedule_every weight_decay",
    optimizer="sgd",  # from before these two could be set
    schedule="cosine",
)
_XNOR = _former(
    "divide_every label_smoothing schedule_every weight_decay", decayed="kernels", schedule="steps"
)
FORMER: Mapping[str, Former] = {
    "BiRealNet": _ONE_STAGE,
    "BiRealNet20": _ONE_STAGE,
    "BiRealNetPaper": _former("", optimizer="sgd", schedule="steps"),
    "OneHour": _ONE_STAGE,
    "ReActNet": _REACTNET,
    "ReActNet18": _REACTNET,
    "ReActNet20": _REACTNET,
    "RealResNet20": _former(
        "label_smoothing schedule_every weight_decay",
        optimizer="sgd",
        nesterov=True,
        schedule="cosine",
    ),
    "SDBNN": _former(_TWO_STAGES, two_stages=True),
    "SDBNNResNet18Cifar": _SHARPENING,
    "SDBNNResNet20": _SHARPENING,
    "SDBNNVGGSmall": _SHARPENING,
    "XNORNetPlusPlus": _XNOR,
    "XNORNetPlusPlusAlexNet": _XNOR,
    "XNORNetPlusPlusResNet20": _XNOR,
}


def current(config: Mapping[str, Any]) -> dict[str, Any]:
    """Add all settings that recipes have today, with their old values; "task" is included.

    Settings of other projects' tasks stay unchanged.
    """
    if "epochs" not in config or "task" not in config:
        return dict(config)
    held_out = "dataset.split_seed" in config or config.get("dataset") == "ImageFolder"
    implied = {k: v for k, v in _implied(config).items() if held_out or k != "dataset.split_seed"}
    return {**implied, **config}


def digest(config: Mapping[str, Any], places: Collection[str]) -> str:
    """Return eight hexadecimal digits of the settings without `places`.

    Settings without effect are left out, so that a run keeps the name that it had in format 1.
    """
    implied, former = _implied(config), FORMER.get(str(config.get("task")))
    had = former.had if former else frozenset()
    kept = {
        key: value
        for key, value in config.items()
        if key not in places
        and (key in had or key not in implied or implied[key] != value)
        and key != "crop_size"
    }
    if config.get("crop_epochs"):
        kept["crop_size"] = config["crop_size"]
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()[:8]


def number_of(config: Mapping[str, Any], where: str) -> int:
    """Return the format of a `config.json`; RunError if a newer version wrote it."""
    number = config.get(NUMBER, 1)
    if not isinstance(number, int) or isinstance(number, bool) or not 1 <= number <= FORMAT:
        raise RunError(
            f"{where} has format {number!r}, this package reads formats 1 to {FORMAT}: update it."
        )
    return number


def _implied(config: Mapping[str, Any]) -> dict[str, Any]:
    former = FORMER.get(str(config.get("task")))
    implied = {**NEUTRAL, **(former.implied if former else {})}
    if former is _XNOR and not config.get("divide_every"):
        implied["schedule"] = "linear"  # the meaning of 0
    return implied
