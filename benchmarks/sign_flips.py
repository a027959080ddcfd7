"""How many signs of the binary kernels a finished run has turned, and how many it can no longer turn.

A sign is turned where it is not what it was before the stage; it is held where its latent weight is
at +-1 or beyond, where the estimator's gradient is 0 or the constraint keeps it. A kernel whose signs
stay as they were drawn has learned nothing but its scale.

Run from the repository root: python -m benchmarks.sign_flips RUN ...
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from benchmarks.tables import read_table, write_table
from benchmarks.update_tables import SIGN_FLIPS
from training.configuration import configure_task
from training.discovery import find_task, recipe_tasks
from training.subject import read_run
from zoo.errors import ZooError
from zoo.weights._torch_layout import entries
from zoo.weights.files import read_npz
from zoo.weights.torch_state import torch_state

COLUMNS = ("run", "model", "stage", "epochs", "layers", "turned", "turned_in_all", "held")
GROUPS = 3  # of layers in order: for ResNet-20 its three widths


def measured(run: Path) -> Iterator[dict[str, Any]]:
    """A row for each stage and third of the layers: shares in percent."""
    config, stages = read_run(run)
    settings = {key: value for key, value in config.items() if key != "task"}
    recipe = configure_task(find_task(config["task"], recipe_tasks()).load(), settings)
    planned = recipe.planned_stages()
    first = next(index for index, (_, stage) in enumerate(stages) if stage.epochs)
    tf.keras.utils.set_random_seed(recipe.seed + first + 1)  # as the run itself begins this stage
    model = planned[first].build()
    keys = [e.key for e in entries(model) if getattr(e.variable, "precision", 32) == 1]
    start = before = torch_state(model)
    for folder, stage in stages[first:]:
        state = read_npz(folder / stage.weights, model.name)
        for group in np.array_split(keys, GROUPS):
            shares = [_share(before, state, group), _share(start, state, group)]
            latent = np.concatenate([np.abs(state[key]).ravel() for key in group])
            shares.append(np.mean(latent >= 1))
            yield {
                "run": stages[-1][1].sha256[:8], "model": recipe.model_name, "stage": stage.name,
                "epochs": stage.epochs, "layers": f"{group[0]} to {group[-1]}".replace(".weight", ""),
                **dict(zip(COLUMNS[5:], (f"{100 * share:.1f}" for share in shares), strict=True)),
            }  # fmt: skip
        before = state


def _share(before: dict[str, Any], after: dict[str, Any], keys: np.ndarray) -> float:
    return np.mean(np.concatenate([
        ((before[key] >= 0) != (after[key] >= 0)).ravel() for key in keys
    ]))  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path)
    try:
        for run in parser.parse_args().runs:
            rows = list(measured(run))
            for row in rows:
                print(*row.values(), sep="  ")
            others = [each for each in read_table(SIGN_FLIPS) if each["run"] != rows[0]["run"]]
            write_table(SIGN_FLIPS, COLUMNS, [*others, *rows])
    except ZooError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
