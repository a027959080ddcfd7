"""Fill the README's tables from the data they come from; a test fails when they differ.

Run from the repository root: python -m benchmarks.update_readme
"""

import csv
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from zoo import catalog

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
RECONSTRUCTION = ROOT / "results" / "xnor_reconstruction.csv"


def markdown(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table: first column left, the others right."""
    lines = [heads, ["---", *["---:"] * (len(heads) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def models() -> str:
    """The catalog, ours first."""
    heads = ("model", "paper", "data", "top-1 %", "params M", "MiB", "binary MACs M",
             "float MACs M", "OPs M", "weights")  # fmt: skip

    def cells(row: catalog.Row) -> list[str]:
        theirs = "" if row.origin == "zoo" else " (larq-zoo)"
        return [
            f"{row.model}{theirs}", f"[{row.family}](https://arxiv.org/abs/{row.arxiv})",
            row.dataset, "" if row.top1 is None else f"{row.top1:.1f}",
            f"{row.params / 1e6:.2f}", f"{row.memory_bytes / 2**20:.2f}",
            f"{row.binary_macs / 1e6:,.1f}", f"{row.float_macs / 1e6:,.1f}",
            f"{row.ops / 1e6:,.1f}", ", ".join(row.weights),
        ]  # fmt: skip

    return markdown(heads, [cells(row) for row in catalog.rows()])


def reconstruction() -> str:
    """Mean relative L1 error over the layers, by method."""
    errors: dict[str, list[float]] = {}
    with RECONSTRUCTION.open(newline="", encoding="utf-8") as lines:
        for row in csv.DictReader(lines):
            errors.setdefault(row["method"], []).append(float(row["relative_l1"]))
    names = {"alpha": "XNOR-Net, per filter", "alpha_K": "XNOR-Net, per filter and pixel"}
    rows = [
        (names.get(method, f"learned, {method}"), f"{sum(values) / len(values):.3f}")
        for method, values in errors.items()
    ]
    return markdown(("scale", "relative L1 error"), rows)


TABLES: dict[str, Callable[[], str]] = {"models": models, "reconstruction": reconstruction}


def filled(text: str) -> str:
    """`text` with each table between its markers made anew."""
    for name, table in TABLES.items():
        pattern = rf"(<!-- begin {name} -->\n).*?(<!-- end {name} -->)"
        text, found = re.subn(
            pattern, lambda m, t=table: f"{m[1]}{t()}\n{m[2]}", text, flags=re.DOTALL
        )
        assert found == 1, f"the README has no place for {name}"
    return text


if __name__ == "__main__":
    README.write_text(filled(README.read_text(encoding="utf-8")), encoding="utf-8")
