"""Load the state that a training program has trained into the run that wrote the program."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from training.loop.stage_trainer import StageTrainer
from training.portable.program import FORMAT, MANIFEST, STATE
from zoo.errors import FileError, RunError, WeightsError
from zoo.untrusted.opening import read_text
from zoo.weights.files import read_arrays


@dataclass(frozen=True)
class ProgramState:
    """The state that `run.py` wrote.

    Attributes:
        folder: the program's folder.
        stage: name of the stage that it trains.
        arrays, loop: variables and loop state, as in a checkpoint.
    """

    folder: Path
    stage: str
    arrays: dict[str, np.ndarray]
    loop: dict[str, Any]

    @classmethod
    def read(cls, folder: Path, digest: str) -> ProgramState:
        """Read the state, and check everything that can be checked without the network.

        Args:
            folder: the program's folder.
            digest: digest of the recipe that loads the state.

        Raises:
            RunError: the folder is not a program, or one of another recipe; or its state is
                missing or damaged.
        """
        try:
            manifest = json.loads(read_text(folder / MANIFEST))
            program = (manifest["format"], manifest["recipe"], manifest["stage"])
        except (FileError, ValueError, KeyError, TypeError, RecursionError):
            raise RunError(
                f"{folder} holds no training program: {MANIFEST} is missing or damaged. Give the "
                "folder that --program wrote."
            ) from None
        if program[0] != FORMAT:
            raise RunError(f"The program in {folder} has format {program[0]}, not {FORMAT}.")
        if program[1] != digest:
            raise RunError(
                f"The program in {folder} belongs to recipe {program[1]}, not {digest}: give the "
                "settings with which it was written."
            )
        path = folder / STATE
        if not path.is_file():
            raise RunError(f"{path} is missing: the program has not run yet (python run.py).")
        try:
            arrays = read_arrays(path)
            found = json.loads(arrays.pop("loop").tobytes())
            loop = {key: found[key] for key in ("done_steps", "seconds", "history", "positions")}
            loop["whose"] = found.get("whose")
        except (WeightsError, ValueError, KeyError, TypeError):
            raise RunError(f"{path} is damaged: copy it again or continue run.py.") from None
        broken = [k for k, v in arrays.items() if v.dtype.kind == "f" and not np.isfinite(v).all()]
        if broken:
            raise RunError(f"{path} holds NaN or infinity ({broken[0]}).")
        return cls(folder, program[2], arrays, loop)

    def take_back(self, trainer: StageTrainer) -> None:
        """Make it the stage's newest checkpoint, from which `trainer.run` continues.

        Raises:
            RunError: its arrays do not fit the stage, or the run has trained more steps.
        """
        if trainer.is_anothers(self.loop):
            raise RunError(
                f"{self.folder / STATE} belongs to another program, of another recipe or stage: "
                "copy the file of this program."
            )
        variables = trainer.step.variables()
        arrays = trainer.step.by_name(self.arrays)
        fits = arrays.keys() == variables.keys() and all(
            arrays[key].shape == tuple(variable.shape) for key, variable in variables.items()
        )
        if not fits:
            raise RunError(f"The state in {self.folder} belongs to another network.")
        done = self.loop["done_steps"]
        if not 0 <= done <= trainer.total_steps:
            raise RunError(
                f"The state in {self.folder} is damaged: it claims {done} finished steps."
            )
        trainer.take(arrays, self.loop)
