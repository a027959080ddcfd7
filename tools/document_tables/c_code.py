"""Tables of the speed of exported C, from `results/`."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path

from tools.document_tables.markdown import folded, markdown
from tools.tables import ROOT, read_table

NO_C = "There are no results yet; [CONTRIBUTING](../contributing.md) says how to make them."
LATENCY = ROOT / "results" / "c_latency.csv"
LAYERS = ROOT / "results" / "c_layers.csv"
RUNTIMES = {
    "c": "C",
    "openvino": "OpenVINO",
    "openvino-float": "float",
    "lce": "LCE",
    "keras": "Keras",
}
Rows = tuple[Sequence[str], list[list[str]]]


def c_latency() -> str:
    """Compare C with the other runtimes: times, then sizes."""
    if not read_table(LATENCY):
        return NO_C
    tables = (markdown(*rows()) for rows in (latency_rows, size_rows))
    return "\n\n".join([*tables, about_latency()])


def c_layers() -> str:
    """List each layer in C, folded below a sentence about its network."""
    parts = []
    for model in layer_models():
        shown = markdown(*layer_rows(model)).splitlines()
        parts += [about_layers(model), folded(f"Each layer of {model}", ["", *shown])]
    return "\n\n".join(parts) or NO_C


def latency_rows(table: Path = LATENCY) -> Rows:
    """Return a row per model: milliseconds in each runtime, and how many times as long as in C.

    The fastest run counts, because other programs can only slow a runtime down.
    """
    heads = ["model", *(f"{name} ms" for name in RUNTIMES.values())]
    heads += [f"{name} / C" for name in RUNTIMES.values() if name != "C"]
    lines = []
    for model, own in _by_model(table):
        ms = [float(row["ms_min"]) for row in own]
        times = [f"{value:.2f}" for value in ms]
        lines.append([model, *times, *(f"{value / ms[0]:.2f}" for value in ms[1:])])
    return heads, lines


def size_rows(table: Path = LATENCY) -> Rows:
    """Return a row per model: memory that each runtime adds to its process, and two file sizes."""
    heads = ["model", *(f"{name} MB" for name in RUNTIMES.values())]
    heads += ["C file MB", "OpenVINO file MB"]
    lines = []
    for model, own in _by_model(table):
        memory = [f"{int(row['added_memory']) / 1e6:.1f}" for row in own]
        files = [f"{int(row['file_bytes']) / 1e6:.2f}" for row in own[:2]]
        lines.append([model, *memory, *files])
    return heads, lines


def _by_model(table: Path) -> list[tuple[str, list[dict[str, str]]]]:
    """Return each model with its rows, one per runtime."""
    rows = read_table(table)
    found = {(row["model"], row["runtime"]): row for row in rows}
    models = dict.fromkeys(row["model"] for row in rows)
    return [(model, [found[model, runtime] for runtime in RUNTIMES]) for model in models]


def about_latency(table: Path = LATENCY) -> str:
    """Return the machine and the command of the measurement."""
    first = read_table(table)[0]
    command = " \\\n  ".join(textwrap.wrap(first["command"], 72, break_on_hyphens=False))
    return (
        f"{first['cpu']}, OpenVINO {first['openvino']}, Larq Compute Engine "
        f"{first['larq_compute_engine']}; the fastest run at batch 1, one thread; MB: what loading "
        f"and running adds to the memory of the process; commit {first['commit'][:8]}:\n\n"
        f"```sh\n{command}\n```"
    )


def layer_models(table: Path = LAYERS) -> list[str]:
    """Return the networks with timed layers."""
    return list(dict.fromkeys(row["model"] for row in read_table(table)))


def layer_rows(model: str, table: Path = LAYERS) -> Rows:
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


def about_layers(model: str, table: Path = LAYERS) -> str:
    """Return a sentence about the whole network."""
    rows = [row for row in read_table(table) if row["model"] == model]
    first, seconds = rows[0], sum(float(row["us"]) for row in rows) / 1e6
    binary = [row for row in rows if row["binary"] == "1"]
    limit = sum(float(row["macs"]) for row in binary) / (1e9 * float(first["limit"]))
    return (
        f"{model}: {1e3 * seconds:.3g} ms, the sum of its layers' fastest runs; its binary "
        f"convolutions alone would take {1e3 * limit:.3g} ms at the popcount limit of "
        f"{float(first['limit']) / 1e3:.2f} T MACs/s, which is {100 * limit / seconds:.0f} % of "
        f"that. {first['cpu']}, commit {first['commit'][:8]}."
    )
