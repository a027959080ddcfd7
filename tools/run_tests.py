"""Run a tier of the tests, print how long it took, and optionally record the commit that passed.

With `--record`, a tier that passes on a commit without other changes gets a row in
`results/test_tiers.csv`; `python -m tools.update_tables` then copies it to CONTRIBUTING.md.

Run from the repository root: python -m tools.run_tests slow [--record]
"""

from __future__ import annotations

import argparse
import datetime
import os
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tools.tables import ROOT, TEST_TIERS, read_table, write_table
from zoo.deploy.cpu import cpu_name

WRITTEN = ("results/test_tiers.csv", "CONTRIBUTING.md")  # a record writes them
COLUMNS = ("tier", "commit", "date", "passed", "skipped", "minutes", "cpu", "cores")


@dataclass(frozen=True)
class Tier:
    """A part of the tests that one command runs.

    Attributes:
        command: the target of `make`.
        what: what it tests, in words.
        arguments: arguments for pytest.
    """

    command: str
    what: str
    arguments: tuple[str, ...]


TWO_AT_A_TIME = ("-n", "2", "--dist", "worksteal")
TIERS = {
    "default": Tier("make test", "everything that a change can break", TWO_AT_A_TIME),
    "import": Tier(
        "make test-convert",
        "reading and writing PyTorch files, compared with PyTorch",
        ("-m", "convert", "tests/convert"),
    ),
    "attacks": Tier(
        "make test-attacks",
        "kills of runs and workers, full disks, bad files, lost connections; counts tried and held",
        ("-m", "attacks", *TWO_AT_A_TIME, "tests/attacks"),
    ),
    "C targets": Tier(
        "make test-c",
        "exported C on emulated ARM, RISC-V, WebAssembly and Cortex-M",
        ("-m", "c_targets", "tests/c_targets"),
    ),
    "slow": Tier(
        "make test-slow",
        "every network and recipe, `kill -9` in every stage, two workers, pages in Chromium",
        ("-m", "slow", *TWO_AT_A_TIME),
    ),
    "notebooks": Tier(
        "make test-notebooks",
        "the notebooks from top to bottom",
        ("-m", "notebooks", *TWO_AT_A_TIME, "tests/test_notebooks.py"),
    ),
    "models": Tier(
        "make test-models",
        "every model at full size in every format, and the longest commands of the documents",
        ("-m", "models", *TWO_AT_A_TIME),
    ),
}


@dataclass(frozen=True)
class Outcome:
    """The result of pytest: its exit code, numbers of passed and skipped tests, seconds."""

    code: int
    passed: int
    skipped: int
    seconds: float


def run(arguments: Sequence[str], folder: Path = ROOT) -> Outcome:
    """Run pytest with `arguments` in `folder`; show its output."""
    with tempfile.TemporaryDirectory() as temporary:
        report = Path(temporary) / "report.xml"
        command = [sys.executable, "-m", "pytest", *arguments, f"--junitxml={report}"]
        began = time.monotonic()
        code = subprocess.run(command, cwd=folder, check=False).returncode
        seconds = time.monotonic() - began
        suites = ElementTree.parse(report).iter("testsuite") if report.is_file() else ()
        counts = [
            {name: int(suite.get(name, 0)) for name in ("tests", "failures", "errors", "skipped")}
            for suite in suites
        ]
    ran, *bad = (
        sum(each[name] for each in counts) for name in ("tests", "failures", "errors", "skipped")
    )
    return Outcome(code, ran - sum(bad), bad[-1], seconds)


def commit(folder: Path = ROOT) -> str | None:
    """Return the checked-out commit; None if there are changes other than the record itself."""

    def git(*arguments: str) -> str:
        done = subprocess.run(
            ["git", *arguments], cwd=folder, check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    try:
        changes = git("status", "--porcelain", "--", ".", *(f":!{name}" for name in WRITTEN))
        return None if changes else git("rev-parse", "HEAD")
    except (OSError, subprocess.CalledProcessError):  # no git, or no checkout
        return None


def record(tier: str, outcome: Outcome, on: str | None, table: Path = TEST_TIERS) -> str:
    """Store a run in the table if it passed on a commit; return a sentence about the result."""
    if outcome.code:
        return "Not recorded: the tests did not pass."
    if on is None:
        return "Not recorded: the files are not those of a commit."
    row = {
        "tier": tier,
        "commit": on,
        "date": datetime.date.today().isoformat(),
        "passed": str(outcome.passed),
        "skipped": str(outcome.skipped),
        "minutes": f"{outcome.seconds / 60:.1f}",
        "cpu": cpu_name(),
        "cores": str(os.cpu_count()),
    }
    rows = {each["tier"]: each for each in read_table(table)} | {tier: row}
    write_table(table, COLUMNS, [rows[name] for name in TIERS if name in rows])
    return f"Recorded in {table.name}: tier '{tier}' passed on {on[:8]}."


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the tier of the command line; return pytest's exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tier", choices=TIERS)
    parser.add_argument("--record", action="store_true", help="keep which commit it passed on")
    options = parser.parse_args(arguments)
    before = commit()
    outcome = run(TIERS[options.tier].arguments)
    minutes, seconds = divmod(round(outcome.seconds), 60)
    print(
        f"Tier '{options.tier}': {minutes} min {seconds:02} s, {outcome.passed} passed, "
        f"{outcome.skipped} skipped."
    )
    if options.record:
        print(record(options.tier, outcome, before if before == commit() else None))
    return outcome.code


if __name__ == "__main__":
    sys.exit(main())
