"""An exported network in OpenVINO's asynchronous queue, as in a service, at full load."""

import subprocess
import sys

import pytest

from tools.tables import ROOT, read_table

# Memory that a process may add by freeing and allocating in other places.
GROWTH = 8 * 2**20
IMAGE = 4 * 224 * 224 * 3  # bytes


@pytest.mark.slow
def test_reactnet_a_for_a_minute(tmp_path):
    """Half of it in float. The tests' own process would grow for other reasons too."""
    table = tmp_path / "load.csv"
    command = [sys.executable, "-m", "benchmarks.async_queue", "ReActNetA", "--threads", "2"]
    options = ["--seconds", "30", "--csv", str(table)]
    done = subprocess.run(
        [*command, *options], cwd=ROOT, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    rows = read_table(table)
    assert [row["convolutions"] for row in rows] == ["binary", "float"]
    for row in rows:
        assert int(row["wrong"]) == 0
        assert int(row["memory_after"]) - int(row["memory_before"]) < GROWTH
        assert int(row["images"]) * IMAGE > 2 * GROWTH, "too few to see one image a request kept"
