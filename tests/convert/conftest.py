"""Fixtures of the tests of PyTorch's files; they need torch and form a separate tier."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "zoo" / "weights"))


def pytest_ignore_collect(config):
    """Other tiers do not import these tests, because they import torch."""
    asked_for = config.option.markexpr
    return True if "convert" not in asked_for or "not convert" in asked_for else None


def pytest_collection_modifyitems(items):
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("convert")


# The import follows the path that it needs (E402); pytest uses these fixtures (F401).
from weights_fixtures import register, server, unchanged  # noqa: E402,F401
