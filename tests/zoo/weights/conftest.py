"""Lets the tests of this folder import what lies beside them, and gives them its fixtures."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent))

from weights_fixtures import register, server, unchanged  # noqa: F401 (fixtures)
