"""Checkpoints that are written completely or not at all.

A checkpoint is one `.npz` file. It is written under a temporary name beside its final one, flushed
to disk and renamed. Then the index, which holds its name and sha256, is replaced in the same way.
The previous checkpoint stays until the next is complete.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from training.loop.run_directory import fitting, read_json
from zoo.errors import RunError, ZooError
from zoo.files import sha256, write_json
from zoo.weights.files import read_arrays, write_arrays

INDEX = "checkpoints.json"
KEPT = 2
FILE = re.compile(r"step-\d+\.npz")


SHAPE = [{"file": str, "sha256": str}]  # of the index


def not_finite(arrays: Mapping[str, np.ndarray]) -> list[str]:
    """Return the names of arrays that hold NaN or infinity."""
    return [
        name
        for name, each in arrays.items()
        if each.dtype.kind == "f" and not np.isfinite(each).all()
    ]


def contents(arrays: Mapping[str, np.ndarray], loop: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Return the arrays of a checkpoint's file: `arrays`, and the loop's state as JSON bytes."""
    return {**arrays, "loop": np.frombuffer(json.dumps(loop).encode(), np.uint8)}


def variable_names(model: Any) -> list[str]:
    """Return a name for each of `model.weights`: layer and variable, such as "conv1/kernel".

    Keras counts layers without a name over the whole process, so "quant_conv2d_7" in one process
    is "quant_conv2d_2" in another. We number such layers again, in the order of the weights.
    """
    counted: dict[str, dict[str, int]] = {}
    given: dict[str, int] = {}
    names = []
    for variable in model.weights:
        layer, _, rest = variable.name.partition(":")[0].partition("/")
        kind = re.sub(r"_\d+$", "", layer)
        numbers = counted.setdefault(kind, {})
        number = numbers.setdefault(layer, len(numbers))
        name = "/".join(filter(None, (f"{kind}_{number}" if number else kind, rest)))
        given[name] = given.get(name, 0) + 1
        names.append(name if given[name] == 1 else f"{name}#{given[name]}")
    return names


class Checkpoints:
    """The checkpoints of one stage, in one directory."""

    def __init__(self, directory: Path):
        self.directory = directory

    def save(self, step: int, arrays: Mapping[str, np.ndarray], loop: Mapping[str, Any]) -> None:
        """Write a checkpoint: the arrays and the state of the loop (JSON values)."""
        path = self.directory / f"step-{step:09d}.npz"
        write_arrays(path, contents(arrays, loop))
        entries = [entry for entry in self._entries() if entry["file"] != path.name]
        entries.append({"file": path.name, "sha256": sha256(path)})
        write_json(self.directory / INDEX, entries[-KEPT:])
        kept = {entry["file"] for entry in entries[-KEPT:]}
        for old in self.directory.glob("step-*.npz"):
            if old.name not in kept:
                old.unlink()

    def load(
        self, complain: Callable[[str], None], loop_shape: Any = None
    ) -> tuple[dict[str, np.ndarray], dict[str, Any]] | None:
        """Return the newest complete checkpoint; None if no checkpoint was written yet.

        `complain` is called for each damaged checkpoint. A checkpoint is also damaged if its loop
        does not have the shape `loop_shape` (`run_directory.fitting`).

        Raises:
            RunError: all checkpoints are damaged.
        """
        entries = self._entries()
        for entry in reversed(entries):
            path = self.directory / entry["file"]
            try:
                return self._read(path, entry["sha256"], loop_shape or {})
            except ZooError as error:
                complain(str(error))
        if entries:
            raise RunError(f"No complete checkpoint is left; {self._remedy}.")
        return None

    def _read(
        self, path: Path, digest: str, loop_shape: Any
    ) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Read one checkpoint. Raises ZooError if it is missing, damaged or not a checkpoint."""
        if path.parent != self.directory or not FILE.fullmatch(path.name):
            raise RunError(
                f"{self.directory / INDEX} names {path.name}, which is not a checkpoint."
            )
        if not path.exists():
            raise RunError(f"Checkpoint {path} is missing.")
        if sha256(path) != digest:
            raise RunError(f"Checkpoint {path} is damaged.")
        arrays = read_arrays(path)
        try:
            loop = fitting(json.loads(arrays.pop("loop").tobytes()), loop_shape)
        except (KeyError, ValueError, RecursionError):
            raise RunError(f"Checkpoint {path} is damaged.") from None
        if not_finite(arrays):
            raise RunError(f"Checkpoint {path} holds NaN or infinity.")
        return arrays, loop

    @property
    def _remedy(self) -> str:
        return f"remove {self.directory} to train this stage from its start"

    def _entries(self) -> list[dict[str, str]]:
        index = self.directory / INDEX
        return read_json(index, self._remedy, SHAPE) if index.exists() else []
