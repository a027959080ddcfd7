"""Tables of trained networks: the accuracy of each run and export, and the gain of each idea."""

import re
import textwrap
from collections.abc import Callable
from pathlib import Path

from tools.document_tables.markdown import folded, markdown, optional, table_of
from tools.tables import ABLATION, RECONSTRUCTION, ROOT, SIGN_FLIPS, read_table
from training.commands.evaluate.accuracy_table import ACCURACY, AccuracyRow, read_rows, rows_of
from training.commands.evaluate.export_table import EXPORTS, ExportRow

NO_ABLATION = "There are no results yet; run `python -m benchmarks.ablation`."
NO_EXPORTS = "There are no results yet; run `python -m benchmarks.exports`."
NO_ACCURACY = "There are no results yet; run `lqz evaluate RUN --record`."
RUN_COLUMNS: dict[str, Callable[[AccuracyRow], str]] = {
    "model": lambda row: row.model,
    "params M": lambda row: f"{row.params / 1e6:.2f}",
    "data": lambda row: row.dataset,
    "images": lambda row: f"{row.images:,}",
    "top-1 %": lambda row: f"{row.top1:.2f}",
    "top-5 %": lambda row: f"{row.top5:.2f}",
    "training images %": lambda row: optional(row.train_top1, ".2f"),
    "published": lambda row: optional(row.published_top1, ".1f"),
    "gap": lambda row: optional(row.gap, "+.2f"),
    "epochs": lambda row: stage_epochs(row.epochs),
    "hours": lambda row: optional(row.train_seconds and row.train_seconds / 3600, ".2f"),
    "run": lambda row: f"`{row.weights_sha256[:8]}`",
}


def stage_epochs(epochs: str) -> str:
    """Describe the stages that trained: "teacher=0 binary-crops=26" becomes "26 binary crops"."""
    stages = [stage.partition("=") for stage in epochs.split()]
    trained = [f"{count} {name.replace('-', ' ')}" for name, _, count in stages if count != "0"]
    return ", ".join(trained)


def accuracy(table: Path = ROOT / ACCURACY) -> str:
    """Return the results of `lqz evaluate --record`, or a sentence if there are none."""
    heads = (
        "model",
        "run",
        "data",
        "images",
        "top-1 %",
        "top-5 %",
        "published",
        "gap",
        "epochs",
        "hours",
    )
    rows = read_rows(table)
    if not rows:
        return NO_ACCURACY
    made = []
    for row in rows:
        seed = "" if row.seed is None else f"seed {row.seed}, "
        commit = re.sub(r"^([0-9a-f]{8})[0-9a-f]*", r"\1", row.commit)
        sha256 = row.weights_sha256
        made.append(f"- `{sha256[:8]}`: {seed}commit `{commit}`, sha256 `{sha256}`")
    shown = table_of({head: RUN_COLUMNS[head] for head in heads}, rows)
    return f"{shown}\n\n{folded('Seed, commit and weights of each run', made)}"


def cifar10(table: Path = ROOT / ACCURACY) -> str:
    """Return the runs on CIFAR-10, and below the table the command that repeats each run."""
    heads = ("model", "run", "top-1 %", "training images %", "published", "gap", "epochs", "hours")
    rows = [row for row in read_rows(table) if row.dataset == "Cifar10"]
    if not rows:
        return NO_ACCURACY
    lines = ["```sh"]
    for row in rows:
        lines.append(f"# {row.model}, {row.weights_sha256[:8]}: {row.top1:.2f} %, seed {row.seed}")
        lines += textwrap.wrap(row.trained_by, 78, subsequent_indent="  ", break_on_hyphens=False)
        wrapped = len(lines) - 1
        while not lines[wrapped].startswith("lqz"):
            wrapped -= 1
            lines[wrapped] += " \\"
    lines.append("```")
    shown = table_of({head: RUN_COLUMNS[head] for head in heads}, rows)
    return f"{shown}\n\n{folded('The command of each run', lines)}"


EXPORT_COLUMNS: dict[str, Callable[[ExportRow], str]] = {
    "model": lambda row: row.model,
    "weights": lambda row: row.weights.partition(":")[0],
    "format": lambda row: row.format,
    "images": lambda row: f"{row.images:,}",
    "Keras %": lambda row: f"{row.keras_top1:.2f}",
    "export %": lambda row: f"{row.top1:.2f}",
    "other class": lambda row: str(row.changed),
    "largest margin": lambda row: optional(row.margin, ".2f"),
    "largest difference": lambda row: f"{row.difference:.2g} ({row.figures})",
    "KB": lambda row: f"{row.bytes / 1000:,.0f}",
}


def exports(table: Path = ROOT / EXPORTS) -> str:
    """Compare every export with Keras, and name the runtimes."""
    rows = rows_of(table, ExportRow)
    if not rows:
        return NO_EXPORTS
    runtimes = "; ".join(dict.fromkeys(row.runtime for row in rows))
    commits = ", ".join(dict.fromkeys(row.commit[:8] for row in rows))
    return f"{table_of(EXPORT_COLUMNS, rows)}\n\nRun by {runtimes}; commit {commits}."


def ablation(table: Path = ABLATION) -> str:
    """Return the results of the ablation, by idea."""
    heads = ("idea", "variant", "top-1 %", "training images %", "epochs", "seed")
    rows = [
        tuple(row[key] for key in ("idea", "variant", "top1", "train_top1", "epochs", "seed"))
        for row in read_table(table)
    ]
    return markdown(heads, rows) if rows else NO_ABLATION


def sign_flips(table: Path = SIGN_FLIPS) -> str:
    """Return the share of signs that each run flipped."""
    heads = (
        "model",
        "run",
        "stage",
        "epochs",
        "flipped in stage %",
        "flipped since the start %",
        "held %",
    )
    columns = ("model", "run", "stage", "epochs", "turned", "turned_in_all", "held")
    rows = [{**row, "run": f"`{row['run']}`"} for row in read_table(table)]
    return markdown(heads, [[row[name] for name in columns] for row in rows])


def reconstruction() -> str:
    """Return the mean relative L1 error over the layers, by method."""
    errors: dict[str, list[float]] = {}
    for row in read_table(RECONSTRUCTION):
        errors.setdefault(row["method"], []).append(float(row["relative_l1"]))
    names = {"alpha": "XNOR-Net, per filter", "alpha_K": "XNOR-Net, per filter and pixel"}
    rows = [
        (names.get(method, f"learned, {method}"), f"{sum(values) / len(values):.3f}")
        for method, values in errors.items()
    ]
    return markdown(("scale", "relative L1 error"), rows)
