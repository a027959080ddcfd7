"""What the components of a recipe can be: their names, and where each is defined."""

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

# A network of Keras is a teacher alone: its weights are Keras's own files, which a run does not
# write.
TEACHERS = {
    **MODELS,
    "KerasApplication": "training.recipes._teachers:KerasApplicationFactory",
}

# By the field of a recipe.
COMPONENTS: Mapping[str, Mapping[str, str]] = {
    "dataset": DATASETS,
    "preprocessing": PREPROCESSING,
    "model": MODELS,
    "teacher": TEACHERS,
}
