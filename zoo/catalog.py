"""The facts about each model, read from `catalog.csv`. Importing this imports no TensorFlow.

Accuracies are copied from the papers, for larq-zoo's models from its documentation; XNOR-Net++'s
are recalled. Parameters, memory and operations are counted on the models:
`python -m tools.count_catalog` writes them, and a test compares them.
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
        origin: "zoo" for our models, "larq-zoo" for larq-zoo's.
        module: the module of the function.
        family: the method's name.
        arxiv: arXiv number of the paper.
        dataset: the data set of the published accuracy.
        top1, top5: published accuracy in percent; None if the paper does not state it.
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
        """Return the function that builds the model. This imports TensorFlow."""
        return getattr(importlib.import_module(self.module), self.model)

    @property
    def paper(self) -> str:
        """Return the paper as "arXiv:NUMBER"."""
        return f"arXiv:{self.arxiv}"

    @property
    def ops(self) -> float:
        """Return the papers' cost, binary MACs / 64 + float MACs."""
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
    """Return the row of one model; raise UnknownNameError with the most similar name."""
    if model not in _rows():
        raise UnknownNameError("model", model, _rows())
    return _rows()[model]


def rows(pattern: str | Sequence[str] | None = None, origin: str | None = None) -> list[Row]:
    """Return the rows with a model name that matches `pattern`, a glob or a list; in any case."""
    patterns = ["*"] if pattern is None else [pattern] if isinstance(pattern, str) else pattern
    return [
        row
        for row in _rows().values()
        if (origin is None or row.origin == origin)
        and any(fnmatchcase(row.model.casefold(), each.casefold()) for each in patterns)
    ]
