"""The papers' networks: one file per paper; files with a leading `_` hold shared code.

Training code needs the base class of the factories, and `variant`, which rebuilds a factory's
network with other arguments. `factories` returns all factories.
"""

import importlib

from zoo import catalog
from zoo.models._factory import ZooFactory
from zoo.models._functions import FINISHING, finished, split, variant
from zoo.models._slots import real_initializer


def factories() -> dict[str, type[ZooFactory]]:
    """Return the factory of every model of this zoo by the model's name, in the catalog's order."""
    return {
        row.model: getattr(importlib.import_module(row.module), f"{row.model}Factory")
        for row in catalog.rows(origin="zoo")
    }


__all__ = [
    "FINISHING",
    "ZooFactory",
    "factories",
    "finished",
    "real_initializer",
    "split",
    "variant",
]
