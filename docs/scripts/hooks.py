"""What MkDocs calls as it builds: makes the pictures, and fills the data of two pages in."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parents[1]), str(HERE)]

from training.terminal import load_tensorflow  # noqa: E402 (found by the line above)

load_tensorflow()  # without all it says while it loads

import classify  # noqa: E402 (likewise)
import explorer  # noqa: E402 (likewise)
import figures  # noqa: E402 (likewise)
import reference  # noqa: E402 (likewise)


def on_pre_build(config: Any) -> None:
    """Draw the figures and fetch the measured pictures; neither is kept among the pages."""
    docs = Path(config["docs_dir"])
    figures.draw_all(docs)
    for picture in (docs.parent / "results").glob("*.png"):
        shutil.copy(picture, docs / "results" / picture.name)


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Put the catalog into the explorer, a network into its page, and models into the reference."""
    if page.file.src_uri == "explorer.md":
        return explorer.filled(markdown)
    if page.file.src_uri == "classify.md":
        return classify.filled(markdown)
    return reference.filled(markdown) if page.file.src_uri.startswith("reference/") else markdown
