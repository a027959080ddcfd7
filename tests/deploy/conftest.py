"""Lets the tests of this folder import `networks` here, and `case` of the models' tests."""

import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path += [str(HERE), str(HERE.parent / "zoo" / "models")]


@pytest.fixture
def hasty_cc(tmp_path_factory, monkeypatch):
    """Use the C compiler without optimisation, for tests that do not need it."""
    script = tmp_path_factory.mktemp("cc") / "cc"
    script.write_text('#!/bin/sh\nexec cc "$@" -O0\n')
    script.chmod(0o755)
    monkeypatch.setenv("CC", str(script))
