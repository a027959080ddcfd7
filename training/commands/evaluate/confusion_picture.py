"""The confusion matrix as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from training.commands._pictures import save_figure

DPI = 100
MOST_NUMBERS, MOST_NAMES = 20, 60  # most classes for counts in the cells, for names on the axes


def side(classes: int) -> int:
    """Return the width and height of the picture in pixels."""
    return int(DPI * min(14, max(5, 2.5 + 0.45 * classes)))


def draw_confusion(counts: np.ndarray, names: Sequence[str], title: str, path: Path) -> None:
    """Write a PNG of `side(classes)` pixels; the shade of a cell is its share of its row.

    Args:
        counts: int [classes, classes], images by class (row) and predicted class (column).
        names: names of the classes.
        title: text above the picture.
        path: the file; an existing file is replaced.
    """
    from matplotlib.figure import Figure  # takes half a second; without pyplot no display is needed

    classes = len(names)
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    inches = side(classes) / DPI
    figure = Figure(figsize=(inches, inches), dpi=DPI, layout="constrained")
    axes = figure.add_subplot()
    shading = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    figure.colorbar(shading, ax=axes, shrink=0.7, label="share of the class")
    axes.set(xlabel="predicted", ylabel="class")
    # Names come from the user; a '$' in them must not start a formula.
    axes.set_title(title, parse_math=False)
    if classes <= MOST_NAMES:
        axes.set_xticks(range(classes), names, rotation=90, parse_math=False)
        axes.set_yticks(range(classes), names, parse_math=False)
    if classes <= MOST_NUMBERS:
        for (row, column), count in np.ndenumerate(counts):
            colour = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, f"{count}", ha="center", va="center", color=colour, fontsize=8)
    save_figure(figure, path)
