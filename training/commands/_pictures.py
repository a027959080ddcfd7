"""How a picture of matplotlib becomes a file."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from zoo.files import write_atomically

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def save_figure(figure: Figure, path: Path) -> None:
    """Write a PNG, which replaces the file at `path`.

    A character that the font lacks is drawn as a box, without a warning on the screen: names of
    classes are in any language.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"(?s).*Glyph .* missing", UserWarning)
        write_atomically(path, lambda file: figure.savefig(file, format="png"))
