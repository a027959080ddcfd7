"""The figures of latency, from `results/latency.csv` and the catalog."""

from __future__ import annotations

import hashlib
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, NullLocator, StrMethodFormatter

from tools.tables import ROOT, latencies
from zoo import catalog

STYLE = ROOT / "training" / "figures.mplstyle"

# Runtime, its name, its mark and its colour.
RUNTIMES = (
    ("c", "binary, as C", "o", "C0"),
    ("openvino", "binary kernels (OpenVINO)", "v", "C4"),
    ("openvino-float", "float convolutions (OpenVINO)", "s", "C1"),
    ("keras", "Keras", "^", "C5"),
    ("lce", "Larq Compute Engine, made for ARM", "D", "C2"),
)
# Where a name does not fit on the right of its point: where it stands, in points from it.
PLACES = {
    "ReActNetC": (6, 7, "left"),
    "ReActNetB": (-6, 6, "right"),
    "ReActNetA": (-9, -4, "right"),
    "ReActNet18": (-9, -4, "right"),
    "SDBNNResNet18": (-4, 8, "right"),
    "XNORNetPlusPlusResNet18": (-9, 2, "right"),
    "BiRealNet18": (-8, -8, "right"),
    "BiRealNet34": (-9, -4, "right"),
    "XNORNetPlusPlusAlexNet": (4, 10, "center"),
    "BiRealNet50": (-4, -14, "center"),
}


def rows() -> list[tuple[str, float, float, float]]:
    """What the front page's figure shows: model, published top-1, milliseconds binary and float."""
    ms = latencies()
    return [
        (row.model, row.top1, ms[row.model, "c"], ms[row.model, "openvino-float"])
        for row in catalog.rows(origin="zoo")
        if row.dataset == "imagenet" and row.top1 is not None and (row.model, "c") in ms
    ]


def digest() -> str:
    """Of all that the front page's figure depends on; the kept file carries it."""
    made_by = (Path(__file__), Path(__file__).with_name("dark.mplstyle"), STYLE)
    parts = [repr(rows()), *(path.read_text(encoding="utf-8") for path in made_by)]
    return hashlib.sha256("".join(parts).encode()).hexdigest()


def drawn_from(path: Path) -> str:
    """The digest in a kept figure; empty where there is none."""
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    return text.partition("drawn from ")[2][:64]


def _logarithmic(axes: Axes, ticks: tuple[float, ...]) -> None:
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))


def front() -> plt.Figure:
    """Accuracy against time on ImageNet: each network binary, and the same one in floats."""
    figure, axes = plt.subplots(figsize=(5.6, 4.6))
    for model, top1, binary, real in rows():
        axes.plot([binary, real], [top1, top1], color="C5", linewidth=1, alpha=0.5, zorder=1)
        x, y, side = PLACES.get(model, (9, -4, "left"))
        axes.annotate(
            model, (binary, top1), (x, y), textcoords="offset points", ha=side, fontsize=9.5
        )
    points = list(zip(*rows(), strict=True))
    axes.scatter(points[2], points[1], 70, color="C0", label="binary, as C")
    real = "the same network in floats (OpenVINO)"
    axes.scatter(points[3], points[1], 50, color="C1", marker="s", label=real)
    _logarithmic(axes, (1, 2, 5, 10, 20, 50, 100))
    axes.set_xlim(0.45, 1.2 * max(points[3]))
    axes.set(xlabel="milliseconds for one image, one thread", ylabel="top-1 on ImageNet, %")
    figure.legend(loc="outside upper left", ncols=2)
    return figure


def latency() -> plt.Figure:
    """Milliseconds of every model in every runtime, the slowest model first."""
    ms = latencies()
    models = sorted({model for model, _ in ms}, key=lambda model: ms[model, "c"])
    figure, axes = plt.subplots(figsize=(8, 7))
    for runtime, name, mark, color in RUNTIMES:
        found = [(ms.get((model, runtime)), at) for at, model in enumerate(models)]
        shown = [point for point in found if point[0]]
        axes.scatter(*zip(*shown, strict=True), 45, marker=mark, color=color, label=name)
    axes.set_yticks(range(len(models)), models)
    axes.tick_params(axis="y", length=0)
    _logarithmic(axes, (0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200))
    axes.set_xlabel("milliseconds for one image, one thread")
    figure.legend(loc="outside upper left", ncols=2)
    return figure
