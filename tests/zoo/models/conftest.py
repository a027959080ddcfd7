"""Lets the tests of this folder import `case` here, and what reads the numbers in tests/golden."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path += [str(HERE), str(HERE.parents[1] / "golden")]
