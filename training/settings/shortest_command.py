"""The command line that gives a resolved recipe."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from training.settings.configuration import configure_task, resolved
from training.settings.discovery import find_task, recipe_tasks


def shortest_command(config: Mapping[str, Any]) -> str:
    """The fewest settings of `lqz train` that give a run's `config.json`.

    Args:
        config: `Recipe.config`: the task's name under "task", its settings by dotted keys.

    Returns:
        Such as "lqz train SDBNNResNet20 dataset=Cifar10 epochs=60"; "" for a task that is no recipe
        of this project. A folder of the machine is written as DIR.
    """
    info = find_task(str(config.get("task")), recipe_tasks())
    if info is None:
        return ""
    task = info.load()
    if hasattr(task, "crop_epochs"):
        config = {"crop_epochs": 0, **config}  # which is left out where there are none
    # Where the images are comes first: other settings are read from them.
    places = ("dataset", "dataset.data_dir")
    given = {key: config[key] for key in places if config.get(key) is not None}
    defaults = resolved(configure_task(task, given))
    for key in sorted(config, key=_order):
        if key != "task" and config[key] != defaults.get(key):
            given[key] = config[key]
            defaults = resolved(configure_task(task, given))
    if config.get("dataset") == resolved(configure_task(task, {}))["dataset"]:
        given.pop("dataset", None)
    words = [f"{key}={_word(key, value)}" for key, value in given.items()]
    return shlex.join(["lqz", "train", info.name, *words])


def _order(key: str) -> tuple[bool, int, str]:
    """What others take their defaults from comes first: the images, and a component's class."""
    component = key.partition(".")[0]
    return component not in ("dataset", "preprocessing"), key.count("."), key


def _word(key: str, value: Any) -> str:
    if key == "dataset.data_dir":
        return "DIR"
    if isinstance(value, list):
        return repr(tuple(value)).replace(" ", "")
    return str(value).removesuffix("Factory")
