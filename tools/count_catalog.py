"""Build every model and count its parameters and operations.

The totals go to zoo/catalog.csv, and the operations of each layer to docs/scripts/layers.csv,
which the explorer shows.

Run from the repository root: python -m tools.count_catalog
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tools.tables import read_table, write_table
from zoo import get_model, profile
from zoo.catalog import COUNTED, TABLE

LAYERS = Path(__file__).parents[1] / "docs" / "scripts" / "layers.csv"


def layers(model: Any) -> Iterator[dict[str, Any]]:
    """Yield the layers that multiply, in order: name, kind, output shape, MACs, weights."""
    from zoo.adapters.larq import ModelProfile

    for each in ModelProfile(model).layer_profiles:
        binary, total = int(each.op_count("mac", 1) or 0), int(each.op_count("mac") or 0)
        if total:
            shape = "x".join(str(size) for size in each.output_shape[1:])
            yield {
                "layer": each.name,
                "kind": type(model.get_layer(each.name)).__name__,
                "output": shape,
                "binary_macs": binary,
                "float_macs": total - binary,
                "params": int(each.weight_count()),
            }


def main() -> None:
    table = read_table(TABLE)
    found: list[dict[str, Any]] = []
    for line in table:
        print(line["model"], flush=True)
        model = get_model(line["model"], weights=None)
        counts = profile(model).as_dict()
        line.update({key: str(counts[key]) for key in COUNTED})
        found += [{"model": line["model"], **layer} for layer in layers(model)]
    write_table(TABLE, list(table[0]), table)
    write_table(LAYERS, list(found[0]), found)


if __name__ == "__main__":
    main()
