"""Build every model and write its counted columns into zoo/catalog.csv.

Run from the repository root: python -m benchmarks.count_catalog
"""

import csv

from zoo import get_model, profile
from zoo.catalog import COUNTED, TABLE


def main() -> None:
    with TABLE.open(newline="", encoding="utf-8") as lines:
        table = list(csv.DictReader(lines))
    for line in table:
        print(line["model"], flush=True)
        counts = profile(get_model(line["model"], weights=None)).as_dict()
        line.update({key: str(counts[key]) for key in COUNTED})
    with TABLE.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, table[0].keys(), lineterminator="\n")
        writer.writeheader()
        writer.writerows(table)


if __name__ == "__main__":
    main()
