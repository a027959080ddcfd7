"""The settings of a recipe on terminals of several widths."""

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
