"""The documentation of a class's fields, read from the source."""

from __future__ import annotations

import ast
import inspect
import linecache
import sys
from collections.abc import Iterator
from functools import cache


def field_docs(cls: type) -> dict[str, str]:
    """Return the documentation of each field of `cls`, including inherited fields.

    It is a method's docstring, a string below the field, or the comment lines directly above it. It
    is empty if there is no source (a built-in class, or a class defined in a shell).
    """
    docs: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        docs |= {name: doc for name, doc in _own_docs(base).items() if doc}
    return docs


@cache
def _own_docs(cls: type) -> dict[str, str]:
    module = sys.modules.get(cls.__module__)
    file = getattr(module, "__file__", None)
    node = _classes(file).get(cls.__qualname__) if file else None
    if file is None or node is None:
        return {}
    lines = linecache.getlines(file)
    following: list[ast.stmt | None] = [*node.body[1:], None]
    return {
        name: doc or _comment_above(statement, lines)
        for statement, after in zip(node.body, following, strict=True)
        for name, doc in _named(statement, after)
    }


@cache
def _classes(file: str) -> dict[str, ast.ClassDef]:
    """Return the classes of a file by qualified name; each file is parsed once."""
    try:
        tree = ast.parse("".join(linecache.getlines(file)))
    except (SyntaxError, ValueError):  # not source code but a compiled module
        return {}
    return dict(_classes_in(tree, ""))


def _classes_in(node: ast.AST, prefix: str) -> Iterator[tuple[str, ast.ClassDef]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef):
            yield prefix + child.name, child
            yield from _classes_in(child, f"{prefix}{child.name}.")
        elif isinstance(child, ast.FunctionDef):
            yield from _classes_in(child, f"{prefix}{child.name}.<locals>.")


def _named(statement: ast.stmt, after: ast.stmt | None) -> Iterator[tuple[str, str]]:
    """Yield the names that `statement` defines, each with its docstring."""
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
    # A line of dashes or a "--- heading ---" separates groups; it does not describe a field.
    comments = [line.strip().lstrip("#").strip() for line in lines[start:end]]
    return " ".join(line for line in comments if line and not line.startswith(("---", "===")))


def _one_paragraph(docstring: str) -> str:
    return " ".join(inspect.cleandoc(docstring).partition("\n\n")[0].split())
