"""Table of the tiers of the tests, and the commit on which each last passed."""

from pathlib import Path

from tools.document_tables.markdown import markdown
from tools.run_tests import TIERS
from tools.tables import TEST_TIERS, read_table


def tiers(table: Path = TEST_TIERS) -> str:
    """Return a row per tier; a tier that was never recorded has only its description."""
    passed = {row["tier"]: row for row in read_table(table)}
    rows = []
    for name, tier in TIERS.items():
        row = passed.get(name)
        found = ["not recorded yet", "", "", ""]
        if row:
            found = [
                f"`{row['commit'][:8]}`, {row['date']}",
                row["passed"],
                row["skipped"],
                f"{row['minutes']} on {row['cores']} cores",
            ]
        rows.append([name, f"`{tier.command}`", tier.what, *found])
    heads = ("tier", "command", "what", "last passed on", "tests", "skipped", "minutes")
    return markdown(heads, rows)
