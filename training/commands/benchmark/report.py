"""What a benchmark shows and writes."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from training.commands.evaluate.accuracy_table import PACKAGE, commit
from training.terminal import print_table
from zoo import files
from zoo.deploy.cpu import cpu_name, instruction_sets, without_avx2

PACKAGES = ("openvino", "larq-compute-engine", "tensorflow", "tf_keras")
COLUMNS = (
    "model",
    "runtime",
    "threads",
    "batch",
    "ms",
    "ms_q1",
    "ms_q3",
    "ms_min",
    "runs",
    "load_s",
    "peak_memory",
    "added_memory",
    "file_bytes",
    "memory_bytes",
    "binary_macs",
    "float_macs",
    "relative_l2",
    "same_top1",
)
Rows = Sequence[dict[str, Any]]


def machine() -> dict[str, Any]:
    """Return processor, instruction sets, versions of packages, commit and command."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "cpu": cpu_name(),
        "cores": os.cpu_count(),
        "instruction_sets": instruction_sets(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": versions,
        "commit": commit(PACKAGE),
        "command": shlex.join(["lqz", *sys.argv[1:]]),
    }


def describe(about: dict[str, Any]) -> str:
    sets = about["instruction_sets"]
    text = f"{about['cpu']}, {about['cores']} cores, {' '.join(sets) if sets else about['system']}"
    if reason := without_avx2():
        text += f"\nNote: {reason}."
    return text


def print_rows(rows: Rows, per_layer: bool) -> None:
    """Print a table of measurements; with `per_layer`, also a table of layers for each.

    A column compares each time with that of the runtime that was measured first.
    """
    first = rows[0]["runtime"]
    heads = (
        "model",
        "runtime",
        "threads",
        "batch",
        "ms",
        "quartiles",
        f"times {first}'s",
        "load s",
        "peak MB",
        "added MB",
        "file MB",
        "rel. L2",
        "same top-1",
    )
    reference = {
        (row["model"], row["threads"], row["batch"]): row["ms"]
        for row in rows
        if row["runtime"] == first
    }
    lines = []
    for row in rows:
        base = reference.get((row["model"], row["threads"], row["batch"]))
        lines.append(
            (
                row["model"],
                row["runtime"],
                str(row["threads"]),
                str(row["batch"]),
                f"{row['ms']:.2f}",
                f"{row['ms_q1']:.2f} to {row['ms_q3']:.2f}",
                f"{row['ms'] / base:.1f}" if base else "",
                f"{row['load_s']:.2f}",
                f"{row['peak_memory'] / 1e6:.0f}",
                f"{row['added_memory'] / 1e6:.0f}",
                f"{row['file_bytes'] / 1e6:.2f}",
                f"{row['relative_l2']:.1e}",
                f"{row['same_top1']:.0%}",
            )
        )
    print_table(heads, lines, range(2, len(heads)))
    for row in rows:
        if per_layer and "layers" in row:
            click.echo(f"\n{row['model']}, {row['threads']} thread(s), batch {row['batch']}:")
            layers = [
                (layer["layer"], layer["kernel"], f"{layer['ms']:.3f}", f"{layer['share']:.1%}")
                for layer in row["layers"]
            ]
            print_table(("layer", "kernel", "ms", "share"), layers, (2, 3))
            click.echo()


def write_json(path: Path, about: dict[str, Any], rows: Rows) -> None:
    text = json.dumps({"machine": about, "results": list(rows)}, indent=1)
    path.parent.mkdir(parents=True, exist_ok=True)
    files.write_atomically(path, lambda file: file.write((text + "\n").encode()))


def write_csv(path: Path, about: dict[str, Any], rows: Rows) -> None:
    """Write a row per measurement; each names the processor and the runtimes' versions."""
    extra = {
        "cpu": about["cpu"],
        "openvino": about["versions"].get("openvino", ""),
        "larq_compute_engine": about["versions"].get("larq-compute-engine", ""),
        "commit": about["commit"],
        "command": about["command"],
    }
    _write(
        path, [*COLUMNS, *extra], [{name: row[name] for name in COLUMNS} | extra for row in rows]
    )


def layers_path(path: Path) -> Path:
    """Return the path for the times per kind of layer, beside the CSV file `path`."""
    return path.with_name(f"{path.stem}_layers.csv")


def write_layers_csv(path: Path, rows: Rows) -> None:
    """Write a row per kind of layer, for each measurement that has layers."""
    shared = ("model", "threads", "batch")
    lines = [
        {name: row[name] for name in shared} | layer
        for row in rows
        for layer in row.get("layers", ())
    ]
    _write(path, [*shared, "layer", "kernel", "ms", "share"], lines)


def _write(path: Path, columns: Sequence[str], lines: Rows) -> None:
    short = (
        {k: f"{v:.4g}" if isinstance(v, float) else v for k, v in line.items()} for line in lines
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    files.write_csv(path, columns, short)
