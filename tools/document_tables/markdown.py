"""A table as Markdown, and lines of it that open on demand."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

# A number, a range behind it, or nothing.
NUMBER = re.compile(r"([-+]?[\d.,]+(e[-+]\d+)?( \(.*\))?)?")


def markdown(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table: columns of numbers to the right, the others to the left."""
    columns = list(zip(*rows, strict=True)) or [()] * len(heads)
    sides = ["---:" if all(map(NUMBER.fullmatch, column)) else "---" for column in columns]
    lines = [heads, sides, *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def table_of(columns: Mapping[str, Callable[[Any], str]], rows: Iterable[Any]) -> str:
    """A Markdown table of what each column, by its head, says of each row."""
    return markdown(list(columns), [[cell(row) for cell in columns.values()] for row in rows])


def optional(value: float | None, form: str) -> str:
    """`value` in that form, empty where there is none."""
    return "" if value is None else format(value, form)


def folded(title: str, lines: Sequence[str]) -> str:
    """Lines of Markdown behind a title that opens them."""
    return "\n".join(
        ['<details markdown="1">', f"<summary>{title}</summary>", "", *lines, "", "</details>"]
    )
