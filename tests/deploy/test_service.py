"""An exported network in OpenVINO's asynchronous queue, as in a service, at full load.

It runs in a process of its own: in the tests' process, memory grows for other reasons too.
"""

import math
import subprocess
import sys

import pytest

from tools.tables import ROOT, read_table

# Memory that a process may add by freeing and allocating in other places.
GROWTH = 8 * 2**20


def serve(folder, shape, seconds, *settings):
    table = folder / "load.csv"
    size = f"input_shape={','.join(map(str, shape))}"
    command = [sys.executable, "-m", "benchmarks.async_queue", "ReActNetA", size, *settings]
    options = ["--threads", "2", "--seconds", str(seconds), "--csv", str(table)]
    done = subprocess.run(
        [*command, *options], cwd=ROOT, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    rows = read_table(table)
    assert [row["convolutions"] for row in rows] == ["binary", "float"]
    for row in rows:
        assert int(row["wrong"]) == 0
        assert int(row["memory_after"]) - int(row["memory_before"]) < GROWTH
    seen = int(rows[0]["images"]) * 4 * math.prod(shape)
    assert seen > 2 * GROWTH, "too few to see one image a request kept"


def test_a_small_network_for_some_seconds(tmp_path):
    serve(tmp_path, (64, 64, 3), 2, "width=0.25", "num_classes=10")


@pytest.mark.slow
def test_reactnet_a_for_a_minute(tmp_path):
    serve(tmp_path, (224, 224, 3), 30)
