"""The README's tables are what the data says, and its Python runs."""

import re
from pathlib import Path

import pytest

from benchmarks.update_readme import DOCUMENTS, README, TABLES, filled

TEXT = README.read_text(encoding="utf-8")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_tables_are_up_to_date(document):
    text = document.read_text(encoding="utf-8")
    assert filled(text) == text, "run python -m benchmarks.update_readme"


def test_every_table_has_one_place():
    text = "".join(document.read_text(encoding="utf-8") for document in DOCUMENTS)
    assert sorted(re.findall("<!-- begin (\\w+) -->", text)) == sorted(TABLES)


@pytest.mark.parametrize("code", re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL))
def test_python_runs_and_prints_what_stands_below(code, capsys):
    exec(compile(code, str(README), "exec"), {})
    printed = capsys.readouterr().out.strip()
    below = TEXT[TEXT.index(code) + len(code) :]
    shown = re.match(r"```\s+```\n(.*?)\n```", below, re.DOTALL)
    assert not printed or (shown and shown[1] == printed)


def test_targets_named_in_the_readme_exist():
    makefile = (Path(README).parent / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([\w-]+):", makefile, re.MULTILINE))
    assert set(re.findall(r"make ([\w-]+)", TEXT)) <= targets
