"""The README states the right number of attacks."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_the_readme_names_the_number_of_attacks():
    command = [sys.executable, "-m", "pytest", "-q", "--collect-only", "-m", "attacks"]
    done = subprocess.run(
        [*command, "tests/attacks"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    count = int(re.search(r"(\d+)(?:/\d+)? tests collected", done.stdout)[1])
    named = re.findall(r"(\d+) attacks", (ROOT / "README.md").read_text())
    assert named and set(map(int, named)) == {count}
