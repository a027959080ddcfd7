"""No source file may contain directives for the formatter."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDERS = ("zoo", "training", "tools", "benchmarks", "tests", "docs/scripts")


def test_the_formatter_has_no_exception():
    """Code that the formatter lays out badly is written in another way."""
    files = [ROOT / "setup.py", *(path for name in FOLDERS for path in (ROOT / name).rglob("*.py"))]
    assert len(files) > 200
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in files
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if re.search(r"#\s*(fmt|yapf): *(skip|off|disable)", line)
    ]
    assert not found
