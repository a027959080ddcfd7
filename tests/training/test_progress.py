"""What a run shows on a real pseudo-terminal, and elsewhere."""

import os
import pty
import subprocess
import sys
from pathlib import Path

from training.loop.progress import epoch_line

SHOW = """
from training.loop.progress import stage_bar
with stage_bar("binary", 200, 50) as bar:
    bar.update(100, 1.2345, 67.8)
    bar.line("epoch 1/2")
"""


def test_a_terminal_gets_a_bar_with_loss_accuracy_and_time_left():
    parent, child = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "120", "LINES": "40"}
    subprocess.run(
        [sys.executable, "-c", SHOW], stdout=child, env=environment, check=True, timeout=60,
        cwd=Path(__file__).parents[2],
    )  # fmt: skip
    os.close(child)
    shown = os.read(parent, 65536).decode()
    os.close(parent)
    assert "binary" in shown and "50 %" in shown and "loss 1.234" in shown
    assert "top-1 67.8 %" in shown and "epoch 1/2" in shown and ":" in shown.split("67.8 %")[-1]


def test_elsewhere_there_is_one_line_an_epoch():
    done = subprocess.run(
        [sys.executable, "-c", SHOW], capture_output=True, text=True, check=True, timeout=60,
        cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert done.stdout == "epoch 1/2\n"


def test_epoch_line_has_every_figure():
    row = {
        "epoch": 3, "learning_rate": 1e-3, "loss": 0.5, "top1": 80.0, "validation_top1": 75.5,
        "seconds": 12.0, "images_per_second": 800.0, "input_wait": 0.02,
    }  # fmt: skip
    line = epoch_line("binary", row, 9)
    for part in ("binary  epoch 3/9", "loss 0.5000", "80.00 %", "75.50 %", "1.00e-03",
                 "800 images/s", "waiting for input 2 %", "12.0 s"):  # fmt: skip
        assert part in line
    assert "validation" not in epoch_line("binary", {**row, "validation_top1": None}, 9)
