"""Find tasks and their documentation in source text, without importing it."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

RECIPES = Path(__file__).parents[1] / "recipes"
LARQ_ZOO_MODULES = ("basic_experiments", "multi_stage_experiments", "sota_experiments")


@dataclass(frozen=True)
class TaskInfo:
    """A class decorated with `@task`, not imported yet."""

    name: str
    module: str
    summary: str

    def load(self) -> type:
        """Import the class."""
        return getattr(importlib.import_module(self.module), self.name)


def recipe_tasks(folder: Path = RECIPES, package: str = "training.recipes") -> list[TaskInfo]:
    """Return the tasks of `lqz train`, ordered by name."""
    return _tasks_in(folder.glob("[!_]*.py"), package)


@cache
def larq_zoo_tasks() -> list[TaskInfo]:
    """Return the tasks of the installed larq-zoo, ordered by name; none if it is not installed."""
    # Look up only the top package: for a submodule, find_spec would import its parents.
    spec = importlib.util.find_spec("larq_zoo")
    if spec is None or not spec.submodule_search_locations:
        return []
    folder = Path(spec.submodule_search_locations[0]) / "training"
    return _tasks_in((folder / f"{name}.py" for name in LARQ_ZOO_MODULES), "larq_zoo.training")


def find_task(name: str, tasks: Iterable[TaskInfo]) -> TaskInfo | None:
    """Return the task called `name`; case and underscores are ignored."""
    by_name = {task.name: task for task in tasks}
    if name in by_name:
        return by_name[name]
    return next((task for task in by_name.values() if fold(task.name) == fold(name)), None)


def fold(name: str) -> str:
    """Normalise `name` for comparison: `TrainXNORNet` and `train_xnor_net` become equal."""
    return re.sub(r"[_\W]", "", name).casefold()


def _tasks_in(files: Iterable[Path], package: str) -> list[TaskInfo]:
    found = [
        TaskInfo(node.name, f"{package}.{file.stem}", _first_line(node))
        for file in files
        if file.is_file()
        for node in ast.parse(file.read_text(encoding="utf-8")).body
        if isinstance(node, ast.ClassDef) and any(map(_is_task, node.decorator_list))
    ]
    return sorted(found, key=lambda task: fold(task.name))


def _is_task(decorator: ast.expr) -> bool:
    return getattr(decorator, "id", getattr(decorator, "attr", None)) == "task"


def _first_line(node: ast.ClassDef) -> str:
    return (ast.get_docstring(node) or "").partition("\n")[0]
