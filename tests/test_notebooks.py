"""The notebooks: committed with their outputs, and they run from top to bottom."""

from itertools import pairwise
from pathlib import Path

import nbformat
import pytest

from tools.run_notebooks import NOTEBOOKS, executed

ROOT = Path(__file__).parents[1]
PATHS = sorted(NOTEBOOKS.glob("*.ipynb"))
EACH = pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)


def kinds(notebook) -> list[set[str]]:
    """Return the outputs of each code cell: printed text, pictures, values."""
    return [
        {key for output in cell.outputs for key in output.get("data", [output.get("name")])}
        for cell in notebook.cells
        if cell.cell_type == "code"
    ]


def test_there_are_five_and_each_leads_to_the_next():
    assert [path.name[0] for path in PATHS] == list("12345")
    for path, following in pairwise(PATHS):
        assert f"]({following.name})" in path.read_text(encoding="utf-8")


@EACH
def test_it_was_committed_as_it_ran(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    found = kinds(notebook)
    assert any("image/png" in each for each in found)
    assert not any("stderr" in each for each in found)
    assert all(output.output_type != "error" for cell in code for output in cell.outputs)
    assert str(ROOT) not in path.read_text(encoding="utf-8")


@pytest.mark.notebooks
@pytest.mark.timeout(1200)
@EACH
def test_it_runs_and_gives_what_was_committed(path, tmp_path):
    again = executed(path, tmp_path)
    assert kinds(again) == kinds(nbformat.read(path, as_version=4))
