"""Find the shortest command line that gives a resolved recipe."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from training.settings import saved_config
from training.settings.configuration import configure_task
from training.settings.discovery import find_task, recipe_tasks
from zoo.errors import ZooError


def shortest_command(config: Mapping[str, Any]) -> str:
    """Return the shortest `lqz train` command that gives a run's `config.json`.

    It may name another recipe with the same stages that needs fewer settings than the run's own
    recipe: a run with many settings may later have become a recipe.

    Args:
        config: `Recipe.config`: the task's name under "task", its settings by dotted keys.

    Returns:
        A command such as "lqz train SDBNNResNet20 epochs=60"; "" for a task that is not a recipe
        of this project. The folder of the data is written as DIR.
    """
    own = find_task(str(config.get("task")), recipe_tasks())
    if own is None:
        return ""
    config = saved_config.current(config)
    name, best = own.name, _settings(own.load(), config, len(config))
    if best is None:
        return ""
    stages = own.load().stages  # type: ignore[attr-defined]
    for info in recipe_tasks():
        task: Any = info.load()
        if best and info.name != own.name and task.stages is stages:
            fewer = _settings(task, config, len(best) - 1)
            if fewer is not None:
                name, best = info.name, fewer
    words = [f"{key}={_word(key, value)}" for key, value in best.items()]
    return shlex.join(["lqz", "train", name, *words])


def _settings(task: type, config: Mapping[str, Any], most: int) -> dict[str, Any] | None:
    """Return the settings that give `task` the values of `config`; None if more than `most`."""
    wanted = {key: value for key, value in config.items() if key != "task"}
    # The images' location comes first: other settings depend on the images.
    places = ("dataset", "dataset.data_dir")
    given = {key: config[key] for key in places if config.get(key) is not None}
    try:
        try:
            own = _values(task, {})
        except ZooError:  # the recipe has no default data set
            own = _values(task, {k: v for k, v in given.items() if k != "dataset"})
    except ZooError:
        return None
    if own["dataset"] == config.get("dataset"):
        given.pop("dataset", None)
    others = [key for key in wanted if "." not in key and key not in ("dataset", "preprocessing")]

    def least(values: Mapping[str, Any]) -> int:
        """Return how many settings of the recipe itself differ: each must be given."""
        return sum(wanted[key] != values.get(key, ...) for key in others)

    if least(own) > most:
        return None
    try:
        defaults = _values(task, given) if given else own
    except ZooError:
        return None
    for key in sorted(wanted, key=_order):
        if wanted[key] != defaults.get(key, ...):
            if len(given) + max(least(defaults), 1) > most:
                return None
            given[key] = wanted[key]
            try:
                defaults = _values(task, given)
            except ZooError:
                return None
    return given if defaults == wanted else None


def _values(task: type, given: Mapping[str, Any]) -> dict[str, Any]:
    config = configure_task(task, given).config
    return {key: value for key, value in config.items() if key != "task"}


def _order(key: str) -> tuple[bool, int, str]:
    """Sort key: first the settings that set others' defaults (images, classes of components)."""
    component = key.partition(".")[0]
    return component not in ("dataset", "preprocessing"), key.count("."), key


def _word(key: str, value: Any) -> str:
    if key == "dataset.data_dir":
        return "DIR"
    if isinstance(value, list):
        return repr(tuple(value)).replace(" ", "")
    return str(value).removesuffix("Factory")
