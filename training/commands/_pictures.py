"""Write a matplotlib figure to a file."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from zoo.files import write_atomically

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def save_figure(figure: Figure, path: Path) -> None:
    """Write a PNG that replaces the file at `path`; make its folder.

    Names of classes can be in any language. A character that the font lacks is drawn as a box,
    without a warning.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"(?s).*Glyph .* missing", UserWarning)
        write_atomically(path, lambda file: figure.savefig(file, format="png"))
