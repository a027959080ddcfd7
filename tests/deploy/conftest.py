"""Lets the tests of this folder import `networks` here, and `case` of the models' tests."""

import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path += [str(HERE), str(HERE.parent / "zoo" / "models")]


@pytest.fixture(scope="module")
def hasty_cc(tmp_path_factory):
    """Use the C compiler without optimisation and for any machine, where speed is not tested."""
    script = tmp_path_factory.mktemp("cc") / "cc"
    script.write_text('#!/bin/sh\nexec cc "$@" -O0 -DBNN_ONLY_PORTABLE\n')
    script.chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CC", str(script))
        yield
