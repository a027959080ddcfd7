"""The output of a run on a real pseudo-terminal, and elsewhere."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from training.loop.progress import epoch_line

SHOW = """
import time
from training.loop.optimizers import adam
import pytest

from training.loop.progress import epoch_line, stage_bar
from training.loop.stage import Stage
stage = Stage("binary activations", None, 500, 128, 0.1, adam)
row = {"epoch": 123, "learning_rate": 1e-3, "loss": 0.5, "top1": 80.0, "validation_top1": 75.5,
       "seconds": 12.0, "images_per_second": 12345.0, "input_wait": 0.02}
with stage_bar(stage, 390, 390 * 121) as bar:
    bar.update(390 * 122, 2.2345, 57.8)
    time.sleep(0.2)
    bar.update(390 * 122 + 8, 1.2345, 67.8)
    bar.line(epoch_line(stage.name, row, stage.epochs, bar.narrow))
"""
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def on_terminal(columns):
    """Return the lines that SHOW writes on a pseudo-terminal, without control sequences."""
    parent, child = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": str(columns), "LINES": "40"}
    subprocess.run(
        [sys.executable, "-c", SHOW],
        stdout=child,
        env=environment,
        check=True,
        timeout=60,
        cwd=Path(__file__).parents[2],
    )
    os.close(child)
    shown = os.read(parent, 65536).decode()
    os.close(parent)
    return [ESCAPES.sub("", line).rstrip() for line in re.split(r"[\r\n]+", shown)]


@pytest.mark.parametrize("columns", [60, 80, 120, 150])
def test_a_bar_says_epoch_speed_and_time_left(columns):
    lines = on_terminal(columns)
    bars = [line for line in lines if "━" in line]
    assert any("compiling" in line for line in bars)
    assert re.search(r"epoch 123/500 .*[\d,]+ images/s  .*\d:\d\d:\d\d left$", bars[-1])
    assert ("loss 1.23" in bars[-1]) == (columns > 60)
    assert ("binary activations" in bars[-1]) == ("top-1 67.8 %" in bars[-1]) == (columns >= 120)
    assert max(map(len, bars)) <= columns
    if columns > 60:  # the terminal folds the line here
        [epoch] = [line for line in lines if "validation" in line]
        assert epoch.endswith("  12.0 s" if columns == 150 else "%  12345 images/s")
        assert epoch.startswith("binary activations  epoch" if columns == 150 else "epoch 123/500")


RESIZED = """
import sys
from training.loop.optimizers import adam
from training.loop.progress import stage_bar
from training.loop.stage import Stage
stage = Stage("binary activations", None, 500, 128, 0.1, adam)
with stage_bar(stage, 390, 0) as bar:
    for step, line in enumerate(sys.stdin, start=1):  # a line for each step
        bar._line._drawn = 0.0
        bar.update(step, 2.2345, 57.8)
"""
ROW_ABOVE = "\x1b[1A\x1b[2K"  # one line up, and erase that line


def test_a_terminal_that_becomes_narrower_keeps_no_remains_of_the_bar():
    """A bar of 76 cells takes two rows of 50 columns: both must be erased before it is redrawn."""
    parent, child = pty.openpty()

    def resize(columns):
        fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
        if program:
            program.send_signal(signal.SIGWINCH)

    program = None
    resize(80)
    hidden = ("COLUMNS", "LINES", "XTERM_VERSION")
    environment = {k: v for k, v in os.environ.items() if k not in hidden} | {"TERM": "xterm"}
    program = subprocess.Popen(
        [sys.executable, "-c", RESIZED],
        stdin=subprocess.PIPE,
        stdout=child,
        env=environment,
        cwd=Path(__file__).parents[2],
    )

    def step():
        """Return the text that one step draws."""
        program.stdin.write(b"\n")
        program.stdin.flush()
        drawn = ""
        while select.select([parent], [], [], 1.0 if drawn else 60.0)[0]:
            drawn += os.read(parent, 65536).decode()
        return drawn

    step()
    step()
    wide = step()
    resize(50)
    narrow = step()
    resize(120)
    widest = step()
    program.stdin.close()
    assert program.wait(timeout=60) == 0
    assert "loss 2.235" in wide and ROW_ABOVE not in wide
    assert narrow.count(ROW_ABOVE) == 1 and "loss" not in narrow
    assert "top-1 57.8 %" in widest and ROW_ABOVE not in widest
    assert len(ESCAPES.sub("", narrow).strip()) <= 50
    os.close(child)
    os.close(parent)


def test_elsewhere_there_is_one_line_an_epoch():
    done = subprocess.run(
        [sys.executable, "-c", SHOW],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        cwd=Path(__file__).parents[2],
    )
    assert done.stdout.count("\n") == 1 and "waiting for input 2 %  12.0 s" in done.stdout


def test_epoch_line_has_every_figure():
    row = {
        "epoch": 3,
        "learning_rate": 1e-3,
        "loss": 0.5,
        "top1": 80.0,
        "validation_top1": 75.5,
        "seconds": 12.0,
        "images_per_second": 800.0,
        "input_wait": 0.02,
    }
    line = epoch_line("binary", row, 9)
    for part in (
        "binary  epoch 3/9",
        "loss 0.5000",
        "80.00 %",
        "75.50 %",
        "1.00e-03",
        "800 images/s",
        "waiting for input 2 %",
        "12.0 s",
    ):
        assert part in line
    assert "validation" not in epoch_line("binary", {**row, "validation_top1": None}, 9)
