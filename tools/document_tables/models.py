"""Tables of the catalog's models, and of all weight sets."""

from collections.abc import Callable

from tools.document_tables.markdown import optional, table_of
from zoo import catalog
from zoo.pretrained.records import WeightSet, measured_top1, published_sets, sets_of, shipped_sets


def models(origin: str = "zoo") -> str:
    """Return the catalog's models of one origin."""
    columns = _catalog_columns()
    heads = (
        "model",
        "paper",
        "data",
        "published %",
        "measured %",
        "params M",
        "MiB",
        "binary MACs M",
        "float MACs M",
        "OPs M",
        "weights",
    )
    shown = [head for head in heads if origin == "zoo" or head != "measured %"]
    return table_of({head: columns[head] for head in shown}, catalog.rows(origin=origin))


def family(arxiv: str) -> str:
    """Return the models of one paper."""
    columns = _catalog_columns()
    heads = (
        "model",
        "data",
        "published %",
        "top-5 %",
        "measured %",
        "params M",
        "MiB",
        "OPs M",
        "weights",
    )
    rows = [row for row in catalog.rows(origin="zoo") if row.arxiv == arxiv]
    return table_of({head: columns[head] for head in heads}, rows)


def _catalog_columns() -> dict[str, Callable[[catalog.Row], str]]:
    measured = measured_top1()
    return {
        "model": lambda row: row.model,
        "paper": lambda row: f"[{row.family}](https://arxiv.org/abs/{row.arxiv})",
        "data": lambda row: row.dataset,
        "published %": lambda row: optional(row.top1, ".1f"),
        "top-5 %": lambda row: optional(row.top5, ".1f"),
        "measured %": lambda row: optional(measured.get(row.model), ".2f"),
        "params M": lambda row: f"{row.params / 1e6:.2f}",
        "MiB": lambda row: f"{row.memory_bytes / 2**20:.2f}",
        "binary MACs M": lambda row: f"{row.binary_macs / 1e6:,.1f}",
        "float MACs M": lambda row: f"{row.float_macs / 1e6:,.1f}",
        "OPs M": lambda row: f"{row.ops / 1e6:,.1f}",
        "weights": lambda row: ", ".join(sets_of(row.model)),
    }


WEIGHT_SET_COLUMNS: dict[str, Callable[[WeightSet], str]] = {
    "model": lambda each: each.model,
    "set": lambda each: each.name,
    "version": lambda each: str(each.version),
    "access": lambda each: each.access,
    "trained by": lambda each: "this project" if each.origin == "zoo" else each.origin,
    "licence": lambda each: each.licence,
}


SHIPPED_COLUMNS: dict[str, Callable[[WeightSet], str]] = {
    "network": lambda each: each.model,
    "weights": lambda each: each.name,
    "top-1 %": lambda each: optional(each.measured_top1, ".2f"),
    "paper": lambda each: optional(each.published_top1, ".1f"),
    "file KB": lambda each: optional(each.bytes and each.bytes / 1000, ",.0f"),
    "trained by": lambda each: f"`{each.recipe}`",
}


def shipped() -> str:
    """Return the weight sets in the package, the best first."""
    best_first = sorted(shipped_sets(), key=lambda each: -(each.measured_top1 or 0))
    return table_of(SHIPPED_COLUMNS, best_first)


def weight_sets() -> str:
    """Return every existing weight set, with those who trained it and its licence."""
    return table_of(WEIGHT_SET_COLUMNS, published_sets())
