"""Measure how many signs of its binary kernels a finished run has flipped, and how many are held.

A sign is flipped if it differs from the sign before the stage. It is held if its latent weight is
+-1 or beyond: there the estimator's gradient is almost 0, or the constraint stops the weight.

Run from the repository root: python -m benchmarks.sign_flips RUN ...
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from tools.tables import SIGN_FLIPS, read_table, write_table
from training.commands.saved_network import read_run
from training.loop.initialization import start_from
from training.loop.stage import StageResult
from training.recipes import Recipe
from training.settings.configuration import configure_task
from training.settings.discovery import find_task, recipe_tasks
from zoo.adapters.zookeeper import base_getattr
from zoo.errors import InvalidValueError, UnknownNameError, ZooError
from zoo.weights.files import read_npz
from zoo.weights.torch_layout import entries
from zoo.weights.torch_state import torch_state

COLUMNS = ("run", "model", "stage", "epochs", "turned", "turned_in_all", "held")


def measured(run: Path) -> Iterator[dict[str, Any]]:
    """Yield a row for each trained stage; shares are percent of all binary weights."""
    config, stages = read_run(run)
    settings = {key: value for key, value in config.items() if key != "task"}
    tasks = recipe_tasks()
    task = find_task(config["task"], tasks)
    if task is None:  # such as a task of the ablation
        raise UnknownNameError("task", config["task"], [each.name for each in tasks])
    recipe = configure_task(task.load(), settings)
    model = recipe.planned_stages()[-1].build()
    keys = [e.key for e in entries(model) if getattr(e.variable, "precision", 32) == 1]
    if not keys:
        raise InvalidValueError(f"{recipe.model_name} has no binary kernels.")
    own_weights = f"{model.name}.npz"  # not the teacher's
    trained = [i for i, (_, s) in enumerate(stages) if s.epochs and s.weights == own_weights]
    start = before = _kernels(_beginning(recipe, trained[0], stages), keys)
    for folder, stage in (stages[index] for index in trained):
        after = _kernels(read_npz(folder / stage.weights, model.name), keys)
        shares = (_turned(before, after), _turned(start, after), np.mean(np.abs(after) >= 1))
        own = (stages[-1][1].sha256[:8], recipe.model_name, stage.name, stage.epochs)
        yield dict(zip(COLUMNS, [*own, *(f"{100 * share:.1f}" for share in shares)], strict=True))
        before = after


def _beginning(recipe: Recipe, index: int, stages: Sequence[tuple[Path, StageResult]]) -> Any:
    """Return the initial state of stage number `index`, the first trained stage."""
    stage = recipe.planned_stages()[index]
    if stage.initialize_from and stage.carry_over_kernels:
        folder, source = next(each for each in stages if each[1].name == stage.initialize_from)
        return read_npz(folder / source.weights, source.weights.removesuffix(".npz"))
    # Do what the run does: nothing may be built between these two lines.
    tf.keras.utils.set_random_seed(recipe.seed + index + 1)
    model = stage.build()
    if stage.weights:
        start_from(model, base_getattr(recipe, "model"), stage.weights)
    return torch_state(model)


def _kernels(state: Mapping[str, np.ndarray], keys: list[str]) -> np.ndarray:
    return np.concatenate([state[key].ravel() for key in keys])


def _turned(before: np.ndarray, after: np.ndarray) -> float:
    return float(np.mean((before >= 0) != (after >= 0)))


def main() -> None:
    """Measure the runs of the command line, and store the results."""
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
