"""The components that a recipe can name, and where each is defined."""

from __future__ import annotations

from collections.abc import Mapping

from training.data.conventions import DATASETS, PREPROCESSING
from zoo import catalog

MODELS = {
    **{row.model: f"{row.module}:{row.model}Factory" for row in catalog.rows(origin="zoo")},
    **{
        row.model: f"training.recipes._larq_zoo:{row.model}Factory"
        for row in catalog.rows(origin="larq-zoo")
    },
}

# Networks of Keras are only teachers: a run cannot write their weights, which are in Keras's
# own files.
TEACHERS = {
    **MODELS,
    "KerasApplication": "training.recipes._teachers:KerasApplicationFactory",
}

# The tables, by field of a recipe.
COMPONENTS: Mapping[str, Mapping[str, str]] = {
    "dataset": DATASETS,
    "preprocessing": PREPROCESSING,
    "model": MODELS,
    "teacher": TEACHERS,
}
