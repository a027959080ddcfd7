"""The data of the model explorer: the catalog, measured accuracy and latency, and the layers."""

from __future__ import annotations

import json
from typing import Any

from tools.count_catalog import LAYERS
from tools.tables import latencies, read_table
from zoo import catalog
from zoo.pretrained.records import measured_top1, sets_of

PLACE = "EXPLORER_DATA"

# What accuracy can be plotted against: key, column's head, name, unit, its label, decimals.
COSTS = (
    ("ops", "OPs M", "operations (binary MACs / 64 + float MACs)", 1e6, "million", 1),
    ("memory_bytes", "MiB", "memory of the weights", 2**20, "MiB", 2),
    ("latency", "ms", "latency as C, one thread, batch 1", 1, "ms", 2),
    ("binary_macs", "binary MACs M", "binary multiply-accumulates", 1e6, "million", 1),
    ("float_macs", "float MACs M", "float multiply-accumulates", 1e6, "million", 1),
    ("params", "params M", "parameters", 1e6, "million", 2),
)


def data() -> dict[str, Any]:
    """What the page reads: `models`, `costs`."""
    layers: dict[str, list[list[Any]]] = {}
    for row in read_table(LAYERS):
        counts = [int(row[key]) for key in ("binary_macs", "float_macs", "params")]
        found = [row["layer"], row["kind"], row["output"], *counts]
        layers.setdefault(row["model"], []).append(found)
    latency = {model: ms for (model, runtime), ms in latencies().items() if runtime == "c"}
    measured = measured_top1()
    models = [
        {
            "model": row.model,
            "family": row.family,
            "dataset": row.dataset,
            "origin": row.origin,
            "top1": row.top1,
            "measured": measured.get(row.model),
            "params": row.params,
            "memory_bytes": row.memory_bytes,
            "binary_macs": row.binary_macs,
            "float_macs": row.float_macs,
            "ops": row.ops,
            "latency": latency.get(row.model),
            "weights": ", ".join(sets_of(row.model)),
            "layers": layers.get(row.model, []),
        }
        for row in catalog.rows()
    ]
    names = ("key", "head", "name", "unit", "label", "digits")
    return {"models": models, "costs": [dict(zip(names, cost, strict=True)) for cost in COSTS]}


def filled(page: str) -> str:
    """The page's text with the data in it."""
    return page.replace(PLACE, json.dumps(data(), separators=(",", ":")).replace("</", "<\\/"))
