"""What MkDocs calls as it builds: makes the pictures, and fills the data of two pages in."""

from __future__ import annotations

import re
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

# A picture that stands alone in its line.
PICTURE = re.compile(r"^!\[([^\]]*)\]\(([^)\s]+)\.svg\)(\{[^}]*\})?$", re.MULTILINE)


def on_pre_build(config: Any) -> None:
    """Draw the figures, for the light and the dark side of the site."""
    figures.draw_all(Path(config["docs_dir"]))


def on_page_markdown(markdown: str, page: Any, config: Any, **_: Any) -> str:
    """Put data into the explorer and the classifier, and what the code says into the reference."""
    folder = (Path(config["docs_dir"]) / page.file.src_uri).parent
    markdown = PICTURE.sub(lambda found: both_sides(found, folder), markdown)
    if page.file.src_uri == "explorer.md":
        return explorer.filled(markdown)
    if page.file.src_uri == "classify.md":
        return classify.filled(markdown)
    return reference.filled(markdown) if page.file.src_uri.startswith("reference/") else markdown


def on_page_content(html: str, **_: Any) -> str:
    """Keep a word of code in one line, as `--per-layer`, which browsers break at its hyphens."""
    parts = re.split(r"(<pre.*?</pre>)", html, flags=re.DOTALL)
    return "".join(
        part if part.startswith("<pre") else re.sub(r"<code>([^<]*-[^<]*)</code>", unbroken, part)
        for part in parts
    )


def unbroken(code: re.Match[str]) -> str:
    """Inline code with its words marked, but for words that may not fit a narrow screen."""
    words = re.sub(r"(?<!\S)(?=\S*-)\S{1,32}(?!\S)", r'<span class="word">\g<0></span>', code[1])
    return f"<code>{words}</code>"


def both_sides(found: re.Match[str], folder: Path) -> str:
    """A picture with its dark twin, of which the theme shows one; as it is if it has none."""
    says, name, _ = found.groups()
    if not (folder / f"{name}-dark.svg").is_file():
        return found[0]
    sides = f"![{says}]({name}.svg#only-light)\n![{says}]({name}-dark.svg#only-dark)"
    return f'<div class="picture" tabindex="0" markdown="span">\n{sides}\n</div>'
