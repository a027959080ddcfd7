"""`lqz list` and `lqz summary`: what there is, and what a model is made of."""

from __future__ import annotations

import importlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import click

from training.terminal import OPEN, has_room, load_tensorflow, print_table
from zoo.errors import InvalidValueError, UnknownNameError

DETAILS = (("paper", "paper"), ("data set", "dataset"), ("origin", "origin"))
# Heading, name in the catalog's row, unit, decimals.
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
@click.option("--json", "as_json", is_flag=True, help="Every figure, as JSON.")
@click.option("--weights", is_flag=True, help="The weight sets, and which of them are here.")
def list_models(pattern: str | None, as_json: bool, weights: bool) -> None:
    """Models whose names match or hold PATTERN, with published figures and weights."""
    from zoo import catalog

    rows = catalog.rows(pattern) or catalog.rows(f"*{pattern}*")
    if pattern and not rows:
        raise UnknownNameError("model", pattern, [row.model for row in catalog.rows()])
    if weights:
        from training.show_weights import show_weights

        show_weights([row.model for row in rows], as_json)
        return
    if as_json:
        found = [asdict(row) | {"paper": row.paper, "ops": row.ops} for row in rows]
        click.echo(json.dumps(found, indent=2))
        return
    # Where there is little room, the operations must do for both kinds of MACs.
    wide = has_room()
    figures = [figure for figure in FIGURES if wide or figure[1] != "float_macs"]
    columns = [
        ("model", [row.model for row in rows]),
        *((head, [getattr(row, key) for row in rows]) for head, key in DETAILS if wide),
        *(
            (head, [_number(getattr(row, key) or None, *form) for row in rows])
            for head, key, *form in figures
        ),
        ("weights", [", ".join(row.weights) for row in rows]),
    ]
    heads, cells = zip(*columns, strict=True)
    right = [column for column, head in enumerate(heads) if head in {f[0] for f in FIGURES}]
    print_table(heads, list(zip(*cells, strict=True)), right)


@click.command(context_settings=OPEN)
@click.argument("model")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.option("--json", "as_json", is_flag=True, help="Totals and layers, as JSON.")
def summary(model: str, arguments: Sequence[str], as_json: bool) -> None:
    """Layers, operations and memory of MODEL, built with ARGUMENTS.

    ARGUMENTS are those of its constructor, e.g. "input_shape=(32,32,3)" num_classes=10.
    """
    import zoo
    from training.configuration import parse_arguments

    options = {"weights": None} | parse_arguments(arguments)
    load_tensorflow()
    options = typed_arguments(model, options)
    network = build_model(model, options)
    totals = zoo.profile(network)
    from larq.models import ModelProfile
    from larq.models import summary as larq_summary

    names = ("params", "memory_bytes", "binary_macs", "float_macs", "ops")
    figures = {name: getattr(totals, name) for name in names}
    if as_json:
        head, *layers, _total = ModelProfile(network).generate_table()
        rows = [dict(zip(map(_one_line, head), layer, strict=True)) for layer in layers]
        found = {"model": model, "arguments": options, **figures, "layers": rows}
        click.echo(json.dumps(found, indent=2, default=str))
        return
    larq_summary(network, print_fn=click.echo)
    click.echo(
        f"{model}: {figures['params']:,} parameters, {_number(totals.memory_bytes, 2**20, 2)} MiB, "
        f"{totals.binary_macs:,} binary and {totals.float_macs:,} float MACs, {totals.ops:,.0f} OPs"
    )


def build_model(name: str, options: dict[str, Any]) -> Any:
    """The model `name`, after a look at whether it takes these arguments."""
    import zoo

    row = zoo.catalog.row(name)  # raises for an unknown name, before the wait for TensorFlow
    load_tensorflow()
    options = typed_arguments(name, options)
    try:
        return zoo.get_model(name, **options)
    except (TypeError, ValueError) as error:
        if row.origin == "zoo":
            raise  # ours refuse values with a ZooError, so this is a bug
        raise InvalidValueError(str(error).partition("\n")[0]) from error


def typed_arguments(name: str, options: dict[str, Any]) -> dict[str, Any]:
    """Arguments of the model `name`, texts read as their types say; UnknownNameError for others."""
    import inspect

    import zoo
    from training.configuration import typed

    function = getattr(importlib.import_module(zoo.catalog.row(name).module), name)
    valid = inspect.signature(function).parameters
    for key in options:
        if key not in valid:
            raise UnknownNameError("argument", key, valid)
    empty = inspect.Parameter.empty
    types = {k: Any if p.annotation is empty else p.annotation for k, p in valid.items()}
    return typed(options, types)


def _number(value: float | None, unit: float, digits: int) -> str:
    return "" if value is None else f"{value / unit:,.{digits}f}"


def _one_line(text: str) -> str:
    return " ".join(text.split())
