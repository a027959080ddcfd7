"""The table of exported C's layers, from `results/c_layers.csv`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tools.document_tables.markdown import folded, markdown
from tools.tables import C_LAYERS, read_table

NO_C = "There are no results yet; run `python -m benchmarks.c_layers`."
Rows = tuple[Sequence[str], list[list[str]]]


def c_layers() -> str:
    """List each layer in C, folded below a sentence about its network."""
    parts = []
    for model in layer_models():
        shown = markdown(*layer_rows(model)).splitlines()
        parts += [about_layers(model), folded(f"Each layer of {model}", ["", *shown])]
    return "\n\n".join(parts) or NO_C


def layer_models(table: Path = C_LAYERS) -> list[str]:
    """Return the networks with timed layers."""
    return list(dict.fromkeys(row["model"] for row in read_table(table)))


def layer_rows(model: str, table: Path = C_LAYERS) -> Rows:
    """Return a row per layer: its time, and a binary convolution's share of the popcount limit."""
    heads = ("layer", "output", "MMACs", "us", "share of the limit %")
    return heads, [
        [
            row["layer"],
            row["output"],
            f"{float(row['macs']) / 1e6:.1f}",
            row["us"],
            f"{100 * float(row['share']):.0f}" if row["share"] else "",
        ]
        for row in read_table(table)
        if row["model"] == model
    ]


def about_layers(model: str, table: Path = C_LAYERS) -> str:
    """Return a sentence about the whole network."""
    rows = [row for row in read_table(table) if row["model"] == model]
    first, seconds = rows[0], sum(float(row["us"]) for row in rows) / 1e6
    binary = [row for row in rows if row["binary"] == "1"]
    limit = sum(float(row["macs"]) for row in binary) / (1e9 * float(first["limit"]))
    return (
        f"{model}: {1e3 * seconds:.3g} ms, the sum of its layers' fastest runs. At the popcount "
        f"limit of {float(first['limit']) / 1e3:.2f} T MACs/s, its binary convolutions alone would "
        f"take {1e3 * limit:.3g} ms, {100 * limit / seconds:.0f} % of this time. "
        f"{first['cpu']}, commit {first['commit'][:8]}."
    )
