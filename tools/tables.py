"""The .csv files of `results/`, read and written."""

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from zoo.files import write_csv


def read_table(path: Path) -> list[dict[str, str]]:
    """The rows of a .csv file by column; none where there is no file."""
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


def write_table(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Write a .csv file, a line of column names first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_csv(path, columns, rows)
