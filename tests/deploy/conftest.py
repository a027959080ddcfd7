"""Lets the tests of this folder import `networks` here, and `case` of the models' tests."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path += [str(HERE), str(HERE.parent / "zoo" / "models")]
