"""Make the documents' tables from `results/c_targets.csv` and `results/cortex_m.csv`."""

from __future__ import annotations

from pathlib import Path

from tools.tables import read_table

RESULTS = Path(__file__).parents[2] / "results"
MATRIX = RESULTS / "c_targets.csv"
FIRMWARE = RESULTS / "cortex_m.csv"
NOT_RUN = "not run"


def matrix_rows() -> tuple[list[str], list[list[str]]]:
    """Return heads and rows: whether each model was equal on each target, or why it did not run."""
    from zoo import catalog

    table = read_table(MATRIX)
    targets = list(dict.fromkeys(row["target"] for row in table if row["target"]))
    lines = []
    for model in (row.model for row in catalog.rows()):
        found = [row for row in table if row["model"] == model]
        weights = next((row["weights"] for row in found if row["weights"]), "")
        images = next((row["images"] for row in found if row["images"] != "0"), "")
        if found and not found[0]["target"]:
            cells = ["refused"] * len(targets)
        else:
            by_target = {row["target"]: _cell(row) for row in found}
            cells = [by_target.get(target, NOT_RUN) for target in targets]
        lines.append([model, weights, images, *cells])
    return ["model", "weights", "images", *targets], lines


def _cell(row: dict[str, str]) -> str:
    return {"yes": "equal", "no": "**different**"}.get(row["equal"], "did not run")


def firmware_rows() -> tuple[list[str], list[list[str]]]:
    """Return heads and rows: memory and instructions of each network on each microcontroller."""
    heads = [
        "network",
        "core",
        "images",
        "results",
        "flash KB",
        "RAM KB",
        "workspace KB",
        "stack used KB",
        "million instructions per image",
    ]
    rows = [
        [
            row["model"],
            row["core"],
            row["images"],
            _cell(row),
            _kilo(row["flash"]),
            _kilo(row["ram"]),
            _kilo(row["workspace"]),
            _kilo(row["stack"]),
            f"{int(row['instructions']) / 1e6:.1f}",
        ]
        for row in read_table(FIRMWARE)
    ]
    return heads, rows


def _kilo(number: str) -> str:
    return f"{int(number) / 1024:.1f}"
