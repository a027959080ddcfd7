"""The settings of a recipe on terminals of several widths."""

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios

import pytest

from training.commands import task_help
from training.recipes.reactnet import ReActNet
from training.settings.fields import fields

WORDS = {word for info in fields(ReActNet, {}) for word in info.doc.split()}


@pytest.fixture
def shown(capsys, monkeypatch):
    """Return the lines of `lqz train ReActNet --help` on a terminal of `columns`."""

    def show(columns, everything):
        monkeypatch.setattr(task_help, "columns", lambda: columns)
        task_help.print_task_help(ReActNet, {}, "lqz train ReActNet", everything)
        return capsys.readouterr().out.splitlines()

    return show


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_every_setting_is_there_whole(shown, columns):
    lines = shown(columns, everything=True)
    assert max(map(len, lines)) <= columns
    words = " ".join(lines).split()
    for info in fields(ReActNet, {}):
        assert any(word == info.key or word.startswith(f"{info.key}=") for word in words), info.key
    assert set(words) >= WORDS  # no word is broken, and nothing is cut off


def test_common_settings_come_first_and_the_others_on_request(shown):
    common, everything = shown(80, everything=False), shown(80, everything=True)
    assert common.index("Common settings:") < 12
    keys = [line for line in common if line.startswith("  ") and not line.startswith("   ")]
    assert keys[0] == "  dataset=ImageNet  (Dataset)" and len(keys) == 11
    count = len(fields(ReActNet, {})) - len(keys)
    assert common[-1] == f"{count} more settings: lqz train ReActNet --help-all"
    settings = everything[everything.index("Training:") :]
    heads = [line for line in settings if line.endswith(":") and not line.startswith(" ")]
    assert heads == [
        "Training:",
        "Data set:",
        "Images:",
        "Network:",
        "Teacher:",
        "Run directory and hardware:",
    ]


@pytest.mark.parametrize(
    ("terminal", "variable", "expected"), [(80, None, 80), (None, None, 110), (80, "60", 60)]
)
def test_a_pager_gets_the_width_of_its_terminal(terminal, variable, expected):
    """Output is a pipe; input may be a terminal."""
    environment = {key: value for key, value in os.environ.items() if key != "COLUMNS"}
    environment |= {"COLUMNS": variable} if variable else {}
    parent, child = pty.openpty()
    fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", 24, terminal or 0, 0, 0))
    code = "from training.commands.task_help import columns; print(columns())"
    shown = subprocess.run(
        [sys.executable, "-c", code],
        stdin=child if terminal else subprocess.DEVNULL,
        capture_output=True,
        env={**environment, "PYTHONPATH": os.pathsep.join(sys.path)},
        text=True,
        check=True,
    )
    os.close(parent)
    os.close(child)
    assert int(shown.stdout) == expected
