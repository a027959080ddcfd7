"""`lqz benchmark` on a terminal, ended by Ctrl-C, with a real process, signal and terminal."""

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time

import pytest

pytest.importorskip("openvino")


@pytest.mark.slow
def test_what_is_finished_is_kept(tmp_path):
    parent, child = pty.openpty()
    command = [sys.executable, "-m", "training", "benchmark", "RealResNet20", "weights=none"]
    options = ["--runtimes", "openvino", "--batch", "1,2,3,4", "--rounds", "20"]
    files = ["--json", str(tmp_path / "found.json"), "--csv", str(tmp_path / "found.csv")]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "200"}
    process = subprocess.Popen(
        [*command, *options, *files],
        stdout=child,
        stderr=child,
        env=environment,
        # Parallel test processes ignore the signal; their child processes would ignore it too.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    os.close(child)
    shown, interrupted, until = "", False, time.monotonic() + 150
    while time.monotonic() < until:
        ended = process.poll() is not None
        if select.select([parent], [], [], 1.0)[0]:
            try:
                shown += os.read(parent, 65536).decode()
            except OSError:  # the other end is closed
                break
        elif ended:
            break
        if not interrupted and "batch 2, threads 1, round" in shown:
            process.send_signal(signal.SIGINT)
            interrupted = True
    os.close(parent)
    assert process.wait(timeout=10) == 130
    assert "RealResNet20 (1 of 1): openvino, batch 1, threads 1, round 1 of 20" in shown
    assert "left" in shown[shown.index("batch 2") :]  # after the first part
    assert shown.rstrip().endswith("Interrupted.") and "Traceback" not in shown
    rows = json.loads((tmp_path / "found.json").read_text())["results"]
    assert [row["batch"] for row in rows] == [1, 2, 3][: len(rows)]  # not the last
    assert all(row["model"] == "RealResNet20" and row["runs"] > 0 for row in rows)
    assert len((tmp_path / "found.csv").read_text().splitlines()) == 1 + len(rows) > 1
    table = shown[shown.rindex("times openvino's") :]
    assert "RealResNet20" in table
