"""What can be run and what is written about it, read from source text: nothing is imported."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
import re
import textwrap
from collections.abc import Iterable, Iterator
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
    """The tasks of `lqz train`, by name."""
    return _tasks_in(folder.glob("[!_]*.py"), package)


@cache
def larq_zoo_tasks() -> list[TaskInfo]:
    """The tasks of the installed larq-zoo, by name; none if it is not installed."""
    # Only the top package is looked up: find_spec imports the parents of a submodule.
    spec = importlib.util.find_spec("larq_zoo")
    if spec is None or not spec.submodule_search_locations:
        return []
    folder = Path(spec.submodule_search_locations[0]) / "training"
    return _tasks_in((folder / f"{name}.py" for name in LARQ_ZOO_MODULES), "larq_zoo.training")


def find_task(name: str, tasks: Iterable[TaskInfo]) -> TaskInfo | None:
    """The task called `name`, in whatever case and with or without underscores."""
    by_name = {task.name: task for task in tasks}
    if name in by_name:
        return by_name[name]
    return next((task for task in by_name.values() if fold(task.name) == fold(name)), None)


def fold(name: str) -> str:
    """`name` as names are compared: `TrainXNORNet` and `train_xnor_net` are the same."""
    return re.sub(r"[_\W]", "", name).casefold()


def field_docs(cls: type) -> dict[str, str]:
    """What the source says of each field of `cls`, inherited ones included.

    That is a method's docstring, a string below the field, or the comment lines right above it.
    """
    docs: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        docs |= {name: doc for name, doc in _own_docs(base).items() if doc}
    return docs


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


@cache
def _own_docs(cls: type) -> dict[str, str]:
    try:
        source = textwrap.dedent(inspect.getsource(cls))
        node = ast.parse(source).body[0]
    except (OSError, TypeError, SyntaxError):  # made in a shell, built in, or oddly indented
        return {}
    if not isinstance(node, ast.ClassDef):
        return {}
    lines = source.splitlines()
    following: list[ast.stmt | None] = [*node.body[1:], None]
    return {
        name: doc or _comment_above(statement, lines)
        for statement, after in zip(node.body, following, strict=True)
        for name, doc in _named(statement, after)
    }


def _named(statement: ast.stmt, after: ast.stmt | None) -> Iterator[tuple[str, str]]:
    """The names that `statement` defines, each with its docstring."""
    if isinstance(statement, ast.FunctionDef):
        yield statement.name, _one_paragraph(ast.get_docstring(statement) or "")
        return
    doc = ""
    if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
        doc = _one_paragraph(str(after.value.value))
    if isinstance(statement, ast.AnnAssign):
        targets = [statement.target]
    else:
        targets = list(getattr(statement, "targets", []))
    for target in targets:
        if isinstance(target, ast.Name):
            yield target.id, doc


def _comment_above(statement: ast.stmt, lines: list[str]) -> str:
    decorators = getattr(statement, "decorator_list", [])
    end = min(node.lineno for node in [statement, *decorators]) - 1
    start = end
    while start and lines[start - 1].lstrip().startswith("#"):
        start -= 1
    # A line of dashes or a "--- heading ---" separates groups, it describes no field.
    comments = [line.strip().lstrip("#").strip() for line in lines[start:end]]
    return " ".join(line for line in comments if line and not line.startswith(("---", "===")))


def _one_paragraph(docstring: str) -> str:
    return " ".join(inspect.cleandoc(docstring).partition("\n\n")[0].split())
