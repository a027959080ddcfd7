"""Write a stage as a folder that trains on any accelerator: see `run.py`."""

from __future__ import annotations

import hashlib
import os
import shutil
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from training.loop.stage_trainer import StageTrainer
from training.portable.images import ProgramImages
from training.portable.lowering import LoweredStep, lower, read
from zoo.errors import RunError
from zoo.files import sha256, write_atomically, write_json

FORMAT = 1
MANIFEST, STATE, START = "manifest.json", "state.npz", "start.npz"
HERE = Path(__file__).parent
DATA = HERE.parent / "data"
SCRIPTS = (
    HERE / "run.py",
    HERE / "program_files.py",
    HERE / "photograph_batches.py",
    DATA / "photographs.py",
    DATA / "philox.py",
)


@dataclass(frozen=True)
class ProgramRequest:
    """The destination of `lqz train ... --program`.

    Attributes:
        folder: the program's folder.
        images: folder of the packed images, which programs of the same data set may share; None
            for a folder inside `folder`.
        part_bytes: maximum size of a file of images.
    """

    folder: Path
    images: Path | None = None
    part_bytes: int = 16 * 2**20

    def check(self) -> None:
        """Raise RunError if the program cannot be written there."""
        if (self.folder / MANIFEST).exists():
            raise RunError(
                f"{self.folder} already holds a program: load its state with --from-program, "
                "remove it, or choose another folder."
            )

    def write(self, trainer: StageTrainer, *, digest: str, index: int, name: str) -> str:
        """Write the stage, see `write_program`; return a sentence for the user."""
        write_program(self, trainer, digest=digest, index=index, name=name)
        return f"Written: {self.folder}, for Python with JAX and Pillow: python run.py"


def write_program(
    request: ProgramRequest, trainer: StageTrainer, *, digest: str, index: int, name: str
) -> None:
    """Write the folder; the manifest is written last: a folder without it is incomplete.

    Args:
        request: the destination.
        trainer: trainer of the stage, in the state to start from.
        digest: digest of the recipe; it is compared when the trained state is loaded.
        index, name: number of the stage, and the name that the script shows.

    Raises:
        InvalidValueError: images of this kind cannot be packed.
        RunError: JAX is missing, or the folder cannot be written.
    """
    pipeline, shape = trainer.pipeline, trainer.pipeline.preprocessing.input_shape
    program_images = ProgramImages.of(pipeline)
    lowered = lower(trainer.step, shape, program_images.pixels)
    try:
        request.folder.mkdir(parents=True, exist_ok=True)
        files: dict[str, str] = {}

        def put(path: Path, write: Any) -> str:
            write_atomically(path, write)
            inside = os.path.relpath(path, request.folder)
            files[inside] = sha256(path)
            return inside

        images = request.images or request.folder / "images"
        images.mkdir(parents=True, exist_ok=True)
        parts = []
        for number, (content, count) in enumerate(program_images.parts(request.part_bytes)):
            # Other images get other names, so a shared folder never loses another program's files.
            title = f"{type(pipeline.dataset).__name__.lower()}-{number:03d}"
            name_of_content = f"{title}-{hashlib.sha256(content).hexdigest()[:8]}"
            path = images / f"{name_of_content}.{program_images.suffix}"
            parts.append((put(path, lambda file, c=content: file.write(c)), count))
        put(
            request.folder / "step.stablehlo",
            lambda file: file.write(lowered.stablehlo),
        )
        tables = _tables(trainer, lowered) | program_images.tables
        put(request.folder / "tables.npz", lambda file: np.savez_compressed(file, **tables))
        put(request.folder / START, lambda file: np.savez_compressed(file, **trainer.checkpoint()))
        for script in SCRIPTS:
            shutil.copyfile(script, request.folder / script.name)
    except OSError as error:
        raise RunError(
            f"The program cannot be written to {request.folder} ({error.strerror}): choose another "
            "folder."
        ) from error
    manifest = {
        "format": FORMAT,
        "name": name,
        "recipe": digest,
        "stage": trainer.stage.name,
        "stage_number": index,
        "versions": {each: version(each) for each in ("tensorflow", "larq", "jax", "jaxlib")},
        "bfloat16": trainer.stage.bfloat16,
        "seed": pipeline.seed,
        "steps_per_epoch": pipeline.steps_per_epoch,
        "epochs": trainer.stage.epochs,
        "batch_size": trainer.stage.batch_size,
        "num_images": len(program_images.tables["labels"]),
        "image_shape": list(shape),
        **program_images.settings,
        "inputs": lowered.inputs,
        "outputs": lowered.outputs,
        "results": lowered.results,
        "images": parts,
        "files": files,
    }
    write_json(request.folder / MANIFEST, manifest)


def _tables(trainer: StageTrainer, lowered: LoweredStep) -> dict[str, np.ndarray]:
    """Return the learning rate of each step, and the variables that the step only reads.

    A schedule may change such a variable at each epoch. We run the schedule to get the variable's
    value in each epoch.
    """
    stage, steps = trainer.stage, trainer.steps_per_epoch
    rates = [stage.rate(i, steps) for i in range(trainer.total_steps)]
    values: dict[str, list[np.ndarray]] = {name: [] for name in lowered.fixed}
    for epoch in range(stage.epochs):
        stage.each_epoch(trainer.step.model, epoch / stage.epochs)
        for name, handle in lowered.fixed.items():
            value = read(handle)
            known = values[name]
            # Large ones are a teacher's weights, which no schedule changes.
            if not known or value.size == 1:
                known.append(value)
    tables = {"learning_rate": np.array(rates)}
    for name, course in values.items():
        if all(np.array_equal(value, course[0]) for value in course):
            tables[name] = course[0]
        else:
            tables[f"by_epoch/{name}"] = np.stack(course)
    return tables
