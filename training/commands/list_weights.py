"""`lqz list --weights`: all weight sets and their states on this machine."""

from __future__ import annotations

import json
from typing import Any

import click

from training.terminal import has_room, print_table
from zoo.pretrained import cache, records
from zoo.pretrained.find import state_of
from zoo.pretrained.records import NO_LICENCE, WeightSet


def rows(models: list[str]) -> list[WeightSet]:
    """Return the registered and imported sets of these models; an empty one for a model without."""
    found = []
    imported = [pair for pair in cache.cached_sets() if not records.find_record(*pair)]
    for model in models:
        of_model = [each for each in records.all_records() if each.model == model]
        of_model += [
            records.imported_record(model, name) for owner, name in imported if owner == model
        ]
        found += of_model or [_none(model)]
    return found


def show_weights(models: list[str], as_json: bool) -> None:
    """Print the weight sets of these models, as a table or as JSON."""
    found = rows(models)
    if as_json:
        click.echo(
            json.dumps([each.as_dict() | {"state": state_of(each)} for each in found], indent=2)
        )
        return
    # A narrow terminal shows neither the address nor columns that are mostly empty.
    wide = has_room()
    columns: list[tuple[str, list[str]]] = [
        ("model", [each.model for each in found]),
        ("set", [each.name for each in found]),
        ("state", [state_of(each) for each in found]),
        ("origin", [each.origin for each in found]),
        ("top-1 %", [_number(each.published_top1) for each in found]),
        ("top-5 %", [_number(each.published_top5) for each in found]),
        ("here %", [_number(each.measured_top1) for each in found]),
    ]
    if wide:
        columns += [
            ("data", [each.dataset for each in found]),
            ("version", [str(each.version) if each.access == "shipped" else "" for each in found]),
            ("format", [each.format if each.access != "none published" else "" for each in found]),
            ("MiB", [_number(each.bytes and each.bytes / 2**20) for each in found]),
            ("sha256", [(each.sha256 or "")[:12] for each in found]),
            ("licence", [each.licence for each in found]),
            ("where", [each.address or each.where or "" for each in found]),
        ]
    heads, cells = zip(*columns, strict=True)
    right = [column for column, head in enumerate(heads) if "%" in head or head == "MiB"]
    print_table(heads, list(zip(*cells, strict=True)), right)


def _none(model: str) -> WeightSet:
    """Return an empty set, the table's row for a model without a published set."""
    from zoo import catalog

    dataset = catalog.row(model).dataset
    return WeightSet(
        model=model,
        name="",
        dataset=dataset,
        origin="authors",
        licence=NO_LICENCE,
        access="none published",
        format="npz",
        preprocessing=dataset,
        classes=dataset,
    )


def _number(value: Any) -> str:
    return "" if value is None else f"{value:.2f}"
