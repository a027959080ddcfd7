"""The facts about each model, read from `catalog.csv`; importing this imports no TensorFlow.

The papers' figures in the table are copied from the papers (XNOR-Net++'s are recalled; for
larq-zoo's models from its documentation). Parameters, memory and operations are counted from the
models themselves: `python -m tools.count_catalog` writes them, and a test compares.
"""

from __future__ import annotations

import csv
import functools
import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from zoo.errors import UnknownNameError

TABLE = Path(__file__).with_name("catalog.csv")
COUNTED = ("params", "memory_bytes", "binary_macs", "float_macs")


@dataclass(frozen=True)
class Row:
    """One model.

    Attributes:
        model: its name, and the name of the function that builds it.
        origin: "zoo" for ours, "larq-zoo" for theirs.
        module: where the function is.
        family: the method's name.
        arxiv: number of the paper.
        dataset: what the published accuracy was measured on.
        top1, top5: published accuracy in percent, None where the paper gives none.
        params, memory_bytes, binary_macs, float_macs: see `zoo.Profile`, at the default image size.
    """

    model: str
    origin: str
    module: str
    family: str
    arxiv: str
    dataset: str
    top1: float | None
    top5: float | None
    params: int
    memory_bytes: int
    binary_macs: int
    float_macs: int

    def function(self) -> Callable[..., Any]:
        """The function that builds the model, imported with TensorFlow."""
        return getattr(importlib.import_module(self.module), self.model)

    @property
    def paper(self) -> str:
        """The paper as "arXiv:NUMBER"."""
        return f"arXiv:{self.arxiv}"

    @property
    def ops(self) -> float:
        """The papers' cost, binary MACs / 64 + float MACs."""
        return self.binary_macs / 64 + self.float_macs


@functools.cache
def _rows() -> dict[str, Row]:
    def number(text: str) -> float | None:
        return float(text) if text else None

    rows: dict[str, Row] = {}
    with TABLE.open(newline="", encoding="utf-8") as lines:
        for line in csv.DictReader(lines):
            name = line["model"]
            if name in rows:
                raise ValueError(f"{TABLE.name} names {name} twice")
            rows[name] = Row(
                model=name,
                origin=line["origin"],
                module=line["module"],
                family=line["family"],
                arxiv=line["arxiv"],
                dataset=line["dataset"],
                top1=number(line["top1"]),
                top5=number(line["top5"]),
                params=int(line["params"] or 0),
                memory_bytes=int(line["memory_bytes"] or 0),
                binary_macs=int(line["binary_macs"] or 0),
                float_macs=int(line["float_macs"] or 0),
            )
    return rows


def row(model: str) -> Row:
    """The row of one model. Raises UnknownNameError with the nearest name."""
    if model not in _rows():
        raise UnknownNameError("model", model, _rows())
    return _rows()[model]


def rows(pattern: str | Sequence[str] | None = None, origin: str | None = None) -> list[Row]:
    """Rows whose model name matches `pattern`, a glob or a list of them, in any case."""
    patterns = ["*"] if pattern is None else [pattern] if isinstance(pattern, str) else pattern
    return [
        row
        for row in _rows().values()
        if (origin is None or row.origin == origin)
        and any(fnmatchcase(row.model.casefold(), each.casefold()) for each in patterns)
    ]
