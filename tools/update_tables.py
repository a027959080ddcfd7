"""Fill the tables of README and docs from their data; a test fails if they differ.

Run from the repository root: python -m tools.update_tables
"""

import re
from collections.abc import Callable

from tools.c_targets.tables import firmware_rows, matrix_rows
from tools.document_tables.c_layers import c_layers
from tools.document_tables.latency import facts, headline, latency, layers, queue
from tools.document_tables.markdown import markdown
from tools.document_tables.models import family, models, shipped, weight_sets
from tools.document_tables.test_tiers import tiers
from tools.document_tables.trained import (
    ablation,
    accuracy,
    cifar10,
    exports,
    reconstruction,
    sign_flips,
)
from tools.document_tables.training_speed import accelerator, engine_overhead, training_step
from tools.tables import ROOT

README = ROOT / "README.md"
DOCUMENTS = (README, ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md")))

TABLES: dict[str, Callable[[], str]] = {
    "facts": facts,
    "models": models,
    "models_larq_zoo": lambda: models("larq-zoo"),
    "family_reactnet": lambda: family("2003.03488"),
    "family_bireal_net": lambda: family("1808.00278"),
    "family_xnornet_plus_plus": lambda: family("1909.13863"),
    "family_sdbnn": lambda: family("2103.02394"),
    "weight_sets": weight_sets,
    "shipped": shipped,
    "accuracy": accuracy,
    "cifar10": cifar10,
    "exports": exports,
    "ablation": ablation,
    "sign_flips": sign_flips,
    "reconstruction": reconstruction,
    "training_step": training_step,
    "engine_overhead": engine_overhead,
    "accelerator": accelerator,
    "latency": latency,
    "headline": headline,
    "layers": layers,
    "c_layers": c_layers,
    "queue": queue,
    "test_tiers": tiers,
    "c_targets": lambda: markdown(*matrix_rows()),
    "cortex_m": lambda: markdown(*firmware_rows()),
}


def filled(text: str) -> str:
    """Return `text` with each table between its markers updated."""
    return re.sub(
        r"(<!-- begin (\w+) -->\n).*?(<!-- end \2 -->)",
        lambda m: f"{m[1]}{TABLES[m[2]]()}\n{m[3]}",
        text,
        flags=re.DOTALL,
    )


if __name__ == "__main__":
    for document in DOCUMENTS:
        document.write_text(filled(document.read_text(encoding="utf-8")), encoding="utf-8")
