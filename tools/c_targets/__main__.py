"""Run the catalog's models in C on all targets and write the results.

    python -m tools.c_targets [MODEL...]

Without names it runs every model that has no row yet. CONTRIBUTING.md lists the necessary packages.
It takes half an hour on two cores. Run `python -m tools.update_tables` afterwards.
"""

from __future__ import annotations

import sys

from tools.c_targets.matrix import COLUMNS, FIRMWARE_COLUMNS, rows_of
from tools.c_targets.tables import FIRMWARE, MATRIX
from tools.tables import read_table, write_table
from zoo import catalog


def main(names: list[str]) -> None:
    """Run these models and replace their rows; without names, add the missing rows."""
    known = {row["model"] for row in read_table(MATRIX)}
    for name in names or [row.model for row in catalog.rows() if row.model not in known]:
        rows, small = rows_of(name)
        for path, columns, new in ((MATRIX, COLUMNS, rows), (FIRMWARE, FIRMWARE_COLUMNS, small)):
            kept = [row for row in read_table(path) if row["model"] != name]
            write_table(path, columns, [*kept, *new])
        for row in rows:
            print(*row.values(), sep=", ", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
