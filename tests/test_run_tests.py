"""The command that runs a tier of the tests: its counts and its record."""

import re
import subprocess
from pathlib import Path

from tools.document_tables.test_tiers import tiers
from tools.run_tests import TIERS, Outcome, commit, record, run
from tools.tables import read_table

ROOT = Path(__file__).parents[1]
PASSED = Outcome(0, 12, 3, 90.0)

TESTS = """
import pytest

def test_one():
    pass

def test_two():
    pytest.skip("not here")

def test_three():
    assert {}
"""


def test_outcomes_are_counted(tmp_path):
    for holds, expected in ((True, (0, 2, 1)), (False, (1, 1, 1))):
        folder = tmp_path / str(holds)
        folder.mkdir()
        (folder / "test_tiny.py").write_text(TESTS.format(holds))
        outcome = run(["-q", "-p", "no:cacheprovider"], folder)
        assert (outcome.code, outcome.passed, outcome.skipped) == expected
        assert outcome.seconds > 0


def test_what_passed_on_a_commit_is_recorded(tmp_path):
    table = tmp_path / "tiers.csv"
    assert "did not pass" in record("slow", Outcome(1, 11, 3, 90.0), "a" * 40, table)
    assert "not those of a commit" in record("slow", PASSED, None, table)
    assert not table.exists() and tiers(table).count("not recorded yet") == len(TIERS)
    for tier, on in (("slow", "a" * 40), ("default", "b" * 40), ("slow", "c" * 40)):
        assert f"passed on {on[:8]}" in record(tier, PASSED, on, table)
    rows = read_table(table)
    assert [(row["tier"], row["commit"][0]) for row in rows] == [("default", "b"), ("slow", "c")]
    assert (rows[1]["passed"], rows[1]["skipped"], rows[1]["minutes"]) == ("12", "3", "1.5")
    assert "`cccccccc`" in tiers(table) and tiers(table).count("not recorded yet") == len(TIERS) - 2


def test_changed_files_are_no_commit(tmp_path):
    def git(*words):
        subprocess.run(
            ["git", "-c", "user.name=a", "-c", "user.email=a@b", *words],
            cwd=tmp_path,
            check=True,
            capture_output=True,
        )

    assert commit(tmp_path) is None
    git("init")
    (tmp_path / "results").mkdir()
    (tmp_path / "code.py").write_text("")
    git("add", ".")
    git("commit", "-m", "x")
    first = commit(tmp_path)
    assert re.fullmatch("[0-9a-f]{40}", first)
    (tmp_path / "results" / "test_tiers.csv").write_text("")  # the record of another tier
    assert commit(tmp_path) == first
    (tmp_path / "code.py").write_text("x = 1")
    assert commit(tmp_path) is None


def test_every_marked_test_has_a_tier_and_every_tier_a_target():
    listed = re.search(r"(?ms)^markers = \[(.*?)^\]", (ROOT / "pyproject.toml").read_text())[1]
    markers = set(re.findall(r'"(\w+): ', listed))
    assert {tier.arguments[1] for tier in TIERS.values() if tier.arguments[0] == "-m"} == markers
    makefile = (ROOT / "Makefile").read_text()
    for name, tier in TIERS.items():
        target = tier.command.removeprefix("make ")
        assert re.search(rf'^{target}: .*\n\t\$\(TIER\) "?{name}"?$', makefile, re.MULTILINE)
