"""What the tests of PyTorch's files share; they need torch and are a tier of their own."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "zoo" / "weights"))


def pytest_ignore_collect(config):
    """Other tiers do not even import these, which import torch."""
    asked_for = config.option.markexpr
    return True if "convert" not in asked_for or "not convert" in asked_for else None


def pytest_collection_modifyitems(items):
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("convert")


# Behind the path that makes it found (E402); pytest takes these fixtures from here (F401).
from weights_fixtures import register, server, unchanged  # noqa: E402,F401
