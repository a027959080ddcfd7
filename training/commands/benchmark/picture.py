"""Latency against published top-1, as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from training.commands._pictures import save_figure
from zoo import catalog

INCHES, DPI = (7.0, 5.0), 120


def points(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows with the fewest threads and smallest batch, with the published top-1.

    Networks without a published accuracy are left out. So are networks whose operations differ from
    the catalog's: they were built with other arguments, and their accuracy is not known.
    """
    known = {row.model: row for row in catalog.rows()}
    found = []
    for row in rows:
        published = known.get(row["model"])
        if (
            published is not None
            and published.top1 is not None
            and row["binary_macs"] == published.binary_macs
            and row["float_macs"] == published.float_macs
            and row["threads"] == min(each["threads"] for each in rows)
            and row["batch"] == min(each["batch"] for each in rows)
        ):
            found.append({**row, "top1": published.top1, "dataset": published.dataset})
    return found


def draw(path: Path, title: str, rows: Sequence[dict[str, Any]]) -> bool:
    """Write a PNG with a panel for each data set; False, and no file, if there is no point."""
    from matplotlib.figure import Figure  # takes half a second; without pyplot no display is needed

    found = points(rows)
    if not found:
        return False
    datasets = list(dict.fromkeys(point["dataset"] for point in found))
    runtimes = list(dict.fromkeys(point["runtime"] for point in found))
    figure = Figure(figsize=(INCHES[0] * len(datasets), INCHES[1]), dpi=DPI, layout="constrained")
    for axes, dataset in zip(
        figure.subplots(1, len(datasets), squeeze=False)[0], datasets, strict=True
    ):
        for runtime in runtimes:
            mine = [p for p in found if (p["dataset"], p["runtime"]) == (dataset, runtime)]
            axes.scatter([p["ms"] for p in mine], [p["top1"] for p in mine], label=runtime)
            if runtime == runtimes[0]:  # write each model's name only once
                for p in mine:
                    axes.annotate(
                        p["model"],
                        (p["ms"], p["top1"]),
                        (4, 4),
                        textcoords="offset points",
                        fontsize=7,
                        parse_math=False,
                    )
        axes.set_xscale("log")
        axes.set(
            title=dataset,
            xlabel=f"milliseconds, {found[0]['threads']} thread(s), batch {found[0]['batch']}",
            ylabel="published top-1, %",
        )
        axes.grid(alpha=0.3)
        axes.legend()
    figure.suptitle(title, fontsize=9, parse_math=False)
    save_figure(figure, path)
    return True
