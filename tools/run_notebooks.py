"""Run the notebooks from top to bottom and store their outputs.

Each notebook runs in an empty folder. TensorFlow's messages about a missing GPU are removed; other
messages stay.

Run from the repository root (`make notebooks`): python -m tools.run_notebooks [NAME ...]
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from rich.progress import Progress

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
TENSORFLOW = re.compile(r"WARNING: All log messages before absl|[EWI]\d{4} [\d:.]+\s+\d+ \w+\.cc:")


def executed(path: Path, folder: Path, seconds: int = 900) -> nbformat.NotebookNode:
    """Run the notebook at `path` in `folder` and return it; each cell may take `seconds`.

    Raises:
        CellExecutionError: a cell failed.
    """
    notebook = nbformat.read(path, as_version=4)
    commands = Path(sys.executable).parent  # contains lqz
    environment = {
        **os.environ,
        "PATH": f"{commands}{os.pathsep}{os.environ['PATH']}",
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
    client = NotebookClient(
        notebook,
        timeout=seconds,
        resources={"metadata": {"path": str(folder)}},
        coalesce_streams=True,
    )
    with Progress() as progress:
        cells = progress.add_task(path.stem, total=len(notebook.cells))
        client.on_cell_complete = lambda **_: progress.advance(cells)
        client.execute(env=environment)
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # the time at which it ran
        if cell.cell_type == "code":
            cell.outputs = [output for output in map(without_tensorflow, cell.outputs) if output]
    return notebook


def without_tensorflow(output: nbformat.NotebookNode) -> nbformat.NotebookNode | None:
    """Return an output without TensorFlow's log; None if it contained nothing else."""
    if output.output_type != "stream" or output.name != "stderr":
        return output
    lines = [line for line in output.text.splitlines(True) if not TENSORFLOW.match(line)]
    output.text = "".join(lines)
    return output if output.text.strip() else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="beginnings of file names; by default all")
    options = parser.parse_args()
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        if path.name.startswith(tuple(options.names or [""])):
            with tempfile.TemporaryDirectory() as folder:
                try:
                    nbformat.write(executed(path, Path(folder)), path)
                except CellExecutionError as error:
                    sys.exit(f"{path.name}: {error}")


if __name__ == "__main__":
    main()
