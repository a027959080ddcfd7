"""`lqz list`: the models of the catalog."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from training.terminal import has_room, print_table
from zoo.errors import UnknownNameError

DETAILS = (("paper", "paper"), ("data set", "dataset"), ("origin", "origin"))
# Heading, attribute of the catalog's row, unit, decimals.
FIGURES = (
    ("top-1 %", "top1", 1, 2),
    ("params M", "params", 1e6, 2),
    ("MiB", "memory_bytes", 2**20, 2),
    ("binary MACs M", "binary_macs", 1e6, 1),
    ("float MACs M", "float_macs", 1e6, 1),
    ("OPs M", "ops", 1e6, 1),
)


@click.command("list")
@click.argument("pattern", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print all figures as JSON.")
@click.option(
    "--weights", is_flag=True, help="List the weight sets and whether they are downloaded."
)
def list_models(pattern: str | None, as_json: bool, weights: bool) -> None:
    """List the models whose names match or contain PATTERN, with figures and weights."""
    from zoo import catalog
    from zoo.pretrained.records import sets_of

    rows = catalog.rows(pattern) or catalog.rows(f"*{pattern}*")
    if pattern and not rows:
        raise UnknownNameError("model", pattern, [row.model for row in catalog.rows()])
    if weights:
        from training.commands.list_weights import show_weights

        show_weights([row.model for row in rows], as_json)
        return
    if as_json:
        found = [
            asdict(row) | {"paper": row.paper, "ops": row.ops, "weights": sets_of(row.model)}
            for row in rows
        ]
        click.echo(json.dumps(found, indent=2))
        return
    # On a narrow terminal, the operations replace both kinds of MACs.
    wide = has_room()
    figures = [figure for figure in FIGURES if wide or figure[1] != "float_macs"]
    columns = [
        ("model", [row.model for row in rows]),
        *((head, [getattr(row, key) for row in rows]) for head, key in DETAILS if wide),
        *(
            (head, [_number(getattr(row, key) or None, *form) for row in rows])
            for head, key, *form in figures
        ),
        ("weights", [", ".join(sets_of(row.model)) for row in rows]),
    ]
    heads, cells = zip(*columns, strict=True)
    right = [column for column, head in enumerate(heads) if head in {f[0] for f in FIGURES}]
    print_table(heads, list(zip(*cells, strict=True)), right)


def _number(value: float | None, unit: float, digits: int) -> str:
    return "" if value is None else f"{value / unit:,.{digits}f}"
