"""Check a recipe's settings against its source code, before TensorFlow is loaded.

Importing recipes and their components imports TensorFlow, which takes seconds. Their fields are
written in the source, so a wrong name or value can be reported at once. Whatever cannot be read
from the source is checked later by `training.settings.configuration`.
"""

from __future__ import annotations

import ast
import importlib.util
import os
import typing
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import training
import zoo
from training.commands.arguments import check_weights_file
from training.data.conventions import CACHES, preprocessing_of
from training.data.layout import existing_folder
from training.loop.component_table import COMPONENTS
from training.loop.optimizers import OPTIMIZERS
from training.loop.plan import STRATEGIES
from training.loop.schedules import SCHEDULE_NAMES, SCHEDULE_UNITS
from training.loop.stage import DECAYED
from training.settings.configuration import FieldInfo, UnknownKeyError, checked_value
from training.settings.discovery import TaskInfo, fold
from zoo import limits
from zoo.errors import UnknownNameError

WEIGHTS = ("initialize_from", "model.weights", "teacher.weights")
FIELDS = ("Field", "ComponentField")
UNKNOWN: Any = object()  # a type that only the imported class knows
# The names in type annotations. Any other name is a class that needs TensorFlow.
NAMES: dict[str, Any] = {
    **{name: getattr(typing, name) for name in typing.__all__},
    **{name: getattr(limits, name) for name in ("above", "at_least", "one_of")},
    "CACHES": CACHES,
    "DECAYED": DECAYED,
    "OPTIMIZERS": OPTIMIZERS,
    "SCHEDULE_NAMES": SCHEDULE_NAMES,
    "SCHEDULE_UNITS": SCHEDULE_UNITS,
    "STRATEGIES": STRATEGIES,
    "os": os,
}


def check_settings(task: TaskInfo, conf: Mapping[str, Any]) -> None:
    """Raise the ZooError that `configure_task` would raise, if the source shows the mistake.

    Args:
        task: a recipe.
        conf: its settings, as `parse_assignments` returns them.
    """
    declared = keys_of(task.name, conf)
    if declared is None:
        return
    for key, value in conf.items():
        if key not in declared:
            raise UnknownKeyError(key, declared)
        if key not in COMPONENTS and declared[key] is not UNKNOWN:
            checked_value(FieldInfo(key, declared[key], "", "", False), value)
    chosen = _chosen(task.name, "dataset", conf)
    if chosen == "ImageFolder":
        existing_folder(conf.get("dataset.data_dir"))
    for key in WEIGHTS:
        check_weights_file(conf.get(key))


def keys_of(recipe: str, conf: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return a recipe's settings and their types; None if its components are not in the source.

    Raises:
        UnknownNameError: `conf` names a component that does not exist.
    """
    if recipe not in _classes():  # a task of another package
        return None
    found = dict(_fields(recipe))
    for part in COMPONENTS:
        name = _chosen(recipe, part, conf)
        if name is None:
            continue
        if name not in _classes() or any(key in conf for key in _components(part, name)):
            return None
        found |= {f"{part}.{key}": kind for key, kind in _fields(name).items()}
    return found


def _chosen(recipe: str, part: str, conf: Mapping[str, Any]) -> str | None:
    """Return the class name of a part; None if there is no part, "" if the name is unknown."""
    value = conf.get(part)
    if value is None or value == "None":
        if part == "preprocessing" and "dataset" in conf and part not in conf:
            return _reading(recipe, str(_chosen(recipe, "dataset", conf)))
        return None if part in conf else _default(recipe, part)
    if not isinstance(value, str):
        return ""  # not the name of a class
    known = COMPONENTS[part]
    for name, place in known.items():
        cls = place.rpartition(":")[2]
        if fold(value) in (fold(name), fold(cls)):
            return cls
    if part == "teacher":
        return ""  # possibly a network of Keras; only Keras knows their names
    raise UnknownNameError(part.replace("dataset", "data set"), str(value), known)


def _reading(recipe: str, dataset: str) -> str | None:
    """Return the data set's preprocessing; for a recipe with `derived`, the recipe's own."""
    derives = [_target(each) for each in _classes()[recipe][0].body]
    if "derived" in derives:
        return _default(recipe, "preprocessing")
    return "" if dataset == "TFDS" else preprocessing_of(dataset)["preprocessing"]


def _default(recipe: str, part: str) -> str | None:
    for statement in _statements(recipe):
        value = getattr(statement, "value", None)
        if _target(statement) == part and isinstance(value, ast.Call):
            return getattr(value.args[0], "id", "") if value.args else None
    return None


# ---- reading classes ----


@cache
def _classes() -> dict[str, tuple[ast.ClassDef, str]]:
    """Return the classes of our recipes, components and their bases by name, with their files."""
    inside = Path(training.__file__).parent
    files = [
        *sorted((inside / "recipes").glob("*.py")),
        *sorted((inside / "data").glob("*.py")),
        *sorted((Path(zoo.__file__).parent / "models").glob("*.py")),
        *_of_package("larq_zoo", "core/model_factory.py"),
        *_of_package("zookeeper", "tf/dataset.py", "tf/preprocessing.py"),
    ]
    return {
        node.name: (node, str(file))
        for file in files
        for node in ast.parse(file.read_text(encoding="utf-8")).body
        if isinstance(node, ast.ClassDef)
    }


def _of_package(package: str, *names: str) -> Iterator[Path]:
    spec = importlib.util.find_spec(package)  # for a submodule, find_spec would import the package
    for folder in spec.submodule_search_locations or () if spec else ():
        yield from (Path(folder) / name for name in names)


def _statements(name: str) -> Iterator[ast.stmt]:
    """Yield the statements of a class and of its bases, the class first."""
    node, _ = _classes().get(name, (None, ""))
    if node is not None:
        yield from node.body
        for base in node.bases:
            yield from _statements(getattr(base, "id", ""))


def _fields(name: str) -> dict[str, Any]:
    """Return the fields of a class with their types, including inherited ones."""
    found: dict[str, Any] = {}
    for statement in _statements(name):
        kind = _annotation(statement)
        if kind is not None:
            found.setdefault(_target(statement), _evaluated(kind))
    return found


def _components(part: str, name: str) -> list[str]:
    """Return the keys of the components inside a part; only the imported class knows them."""
    return [
        f"{part}.{_target(each)}"
        for each in _statements(name)
        if isinstance(each, ast.AnnAssign) and _function(each.value) == "ComponentField"
    ]


def _target(statement: ast.stmt) -> str:
    if isinstance(statement, ast.FunctionDef):
        return statement.name
    targets = getattr(statement, "targets", None) or [getattr(statement, "target", None)]
    return getattr(targets[0], "id", "")


def _annotation(statement: ast.stmt) -> ast.expr | None:
    """Return the type of a field; None if the statement does not declare a field.

    A statement that only gives an inherited field another value does not declare one.
    """
    if isinstance(statement, ast.AnnAssign):
        return statement.annotation if _function(statement.value) in FIELDS else None
    if isinstance(statement, ast.FunctionDef):
        decorators = [getattr(each, "id", "") for each in statement.decorator_list]
        return statement.returns if "Field" in decorators else None
    return None


def _function(value: ast.expr | None) -> str:
    return getattr(value.func, "id", "") if isinstance(value, ast.Call) else ""


def _evaluated(annotation: ast.expr) -> Any:
    try:
        return eval(ast.unparse(annotation), dict(NAMES))
    except (NameError, AttributeError, TypeError):
        return UNKNOWN
