"""The paths of the .csv files in `results/`; functions to read and write them."""

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from zoo.files import write_csv

ROOT = Path(__file__).parents[1]
ACCELERATOR = ROOT / "results" / "accelerator.csv"
TRAINING_STEP = ROOT / "results" / "training_step.csv"
ENGINE_OVERHEAD = ROOT / "results" / "engine_overhead.csv"
RECONSTRUCTION = ROOT / "results" / "xnor_reconstruction.csv"
LATENCY = ROOT / "results" / "latency.csv"
ABLATION = ROOT / "results" / "ablation.csv"
SIGN_FLIPS = ROOT / "results" / "sign_flips.csv"
TEST_TIERS = ROOT / "results" / "test_tiers.csv"
QUEUE = ROOT / "results" / "async_queue.csv"
C_LAYERS = ROOT / "results" / "c_layers.csv"


def read_table(path: Path) -> list[dict[str, str]]:
    """Return the rows of a .csv file by column; no rows if there is no file."""
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


def latencies(path: Path = LATENCY, threads: int = 1) -> dict[tuple[str, str], float]:
    """Return the milliseconds of one image by model and runtime.

    The fastest run counts, because other programs can only slow a runtime down.
    """
    return {
        (row["model"], row["runtime"]): float(row["ms_min"])
        for row in read_table(path)
        if (row["threads"], row["batch"]) == (str(threads), "1")
    }


def write_table(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Write a .csv file; the first line has the column names."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_csv(path, columns, rows)
