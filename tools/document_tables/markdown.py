"""Markdown tables, and lines of Markdown that open on demand."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

# A number, perhaps with a range behind it, or nothing.
NUMBER = re.compile(r"([-+]?[\d.,]+(e[-+]\d+)?( \(.*\))?)?")


def markdown(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table; columns of numbers are right-aligned, others left-aligned."""
    columns = list(zip(*rows, strict=True)) or [()] * len(heads)
    sides = ["---:" if all(map(NUMBER.fullmatch, column)) else "---" for column in columns]
    lines = [heads, sides, *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def table_of(columns: Mapping[str, Callable[[Any], str]], rows: Iterable[Any]) -> str:
    """Return a Markdown table; `columns` maps a head to a function from a row to its cell."""
    return markdown(list(columns), [[cell(row) for cell in columns.values()] for row in rows])


def optional(value: float | None, form: str) -> str:
    """Format `value`; return an empty text for None."""
    return "" if value is None else format(value, form)


def folded(title: str, lines: Sequence[str]) -> str:
    """Return lines of Markdown that are hidden until a click on the title."""
    return "\n".join(
        ['<details markdown="1">', f"<summary>{title}</summary>", "", *lines, "", "</details>"]
    )
