"""The files of a training program, checked against their hashes, and its state.

This file needs only NumPy and Pillow; a program contains it beside `run.py`.
"""

from __future__ import annotations

import hashlib
import io
import json
import mmap
import os
from pathlib import Path

import numpy as np

# The files beside this one, in a training program.
from philox import uniform
from photograph_batches import PhotographBatches
from photographs import RandomCrops

STATE, START, MANIFEST = "state.npz", "start.npz", "manifest.json"


class ProgramError(Exception):
    """An error that the user can fix; its text is one sentence."""


class Program:
    """A program's files, checked against their hashes, and its state."""

    def __init__(self, folder: Path):
        self.folder = folder
        try:
            self.manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            raise ProgramError(f"{folder} holds no program: {MANIFEST} cannot be read.") from None
        self.epochs = self.manifest["epochs"]
        self.steps_per_epoch = self.manifest["steps_per_epoch"]
        self.batch_size = self.manifest["batch_size"]
        contents = {name: self._read(name) for name in self.manifest["files"]}
        self.step = contents["step.stablehlo"][:]
        with np.load(io.BytesIO(contents["tables.npz"])) as tables:
            self.tables = dict(tables)
        photographs = self.manifest["photographs"]
        self.photographs = self._photographs(contents, photographs) if photographs else None
        self.images = None if photographs else self._images(contents)
        self.arrays, self.loop = self._state(contents[START])

    def _read(self, name: str) -> mmap.mmap:
        path = self.folder / name
        try:
            with path.open("rb") as file:  # photographs may not fit in memory
                content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except OSError as error:
            raise ProgramError(f"{path} is missing or unreadable ({error.strerror}).") from None
        except ValueError:
            raise ProgramError(f"{path} is empty. Copy it anew.") from None
        if hashlib.sha256(content).hexdigest() != self.manifest["files"][name]:
            raise ProgramError(
                f"{path} is damaged: its hash differs from the manifest's. Copy it again."
            )
        return content

    def _images(self, contents: dict[str, mmap.mmap]) -> np.ndarray:
        """Return uint8 [n, h, w, c], read from lossless pictures of many images each."""
        from PIL import Image

        height, width, channels = self.manifest["image_shape"]
        parts = []
        for name, count in self.manifest["images"]:
            picture = np.asarray(Image.open(io.BytesIO(contents[name])))[..., :channels]
            rows, columns = picture.shape[0] // height, picture.shape[1] // width
            grid = picture.reshape(rows, height, columns, width, channels).swapaxes(1, 2)
            parts.append(grid.reshape(-1, height, width, channels)[:count])
        return np.concatenate(parts)

    def _photographs(self, contents: dict[str, mmap.mmap], settings: dict) -> PhotographBatches:
        crops = RandomCrops(tuple(self.manifest["image_shape"]), **settings)
        parts = [contents[name] for name, _ in self.manifest["images"]]
        return PhotographBatches(parts, self.tables["photograph_sizes"], crops)

    def _state(self, start: mmap.mmap) -> tuple[dict, dict]:
        """Return the arrays and the loop of `state.npz`, or of the start."""
        expected = _read_state(start[:])
        path = self.folder / STATE
        if not path.exists():
            return expected
        try:
            arrays, loop = _read_state(path.read_bytes())
            fits = arrays.keys() == expected[0].keys() and all(
                arrays[name].shape == value.shape for name, value in expected[0].items()
            )
        except Exception:  # NumPy and zipfile raise many kinds of errors for damaged files
            raise ProgramError(f"{path} is damaged: delete it to train from the start.") from None
        if not fits or loop.get("whose") != expected[1].get("whose"):
            raise ProgramError(
                f"{path} belongs to another program: copy the file of this program, or delete it "
                "to train from the start."
            )
        return arrays, loop

    def save(self) -> None:
        """Write the state to a temporary file, and rename it when it is on disk."""
        loop = np.frombuffer(json.dumps(self.loop).encode(), np.uint8)
        draft = self.folder / f".{STATE}.{os.getpid()}"
        try:
            with draft.open("wb") as file:
                np.savez(file, **self.arrays, loop=loop)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(self.folder / STATE)
        except OSError as error:
            raise ProgramError(f"{draft} cannot be written ({error.strerror}).") from None
        finally:
            draft.unlink(missing_ok=True)

    @property
    def total_steps(self) -> int:
        return self.epochs * self.steps_per_epoch

    def key(self, epoch: int) -> int:
        """Return the seed of an epoch's order and crops."""
        return int(np.random.SeedSequence([self.manifest["seed"], epoch]).generate_state(1)[0] >> 1)

    def batches(self, epoch: int, first: int) -> dict[str, np.ndarray]:
        """Return the inputs of an epoch's steps from number `first`, equal to those of `lqz train`.

        The first axes of the arrays are (steps, batch). They hold each image's index, position,
        offsets and flip; "rate", the learning rates, has only the axis (steps).
        """
        key = self.key(epoch)
        order = np.random.Generator(np.random.Philox(key)).permutation(self.manifest["num_images"])
        positions = np.arange(first * self.batch_size, self.steps_per_epoch * self.batch_size)
        draws = uniform(key, positions)
        padding = self.manifest["padding"]
        offsets = (draws[:, :2] * np.float32(2 * padding + 1)).astype(np.int32)
        flips = (draws[:, 2] < 0.5) if self.manifest["flip"] else np.zeros(len(draws), bool)
        rates = self.tables["learning_rate"][epoch * self.steps_per_epoch + first :]
        shape = (-1, self.batch_size)
        return {
            "index": order[positions].astype(np.int32).reshape(shape),
            "position": positions.reshape(shape),
            "top": offsets[:, 0].reshape(shape),
            "left": offsets[:, 1].reshape(shape),
            "flip": flips.reshape(shape),
            "rate": rates[: self.steps_per_epoch - first].astype(np.float32),
        }

    def fixed(self, epoch: int) -> dict[str, np.ndarray]:
        """Return the variables that the steps of an epoch only read."""
        every = {k: v for k, v in self.tables.items() if k.startswith("fixed/")}
        moving = {k: v[epoch] for k, v in self.tables.items() if k.startswith("by_epoch/")}
        return every | {k.removeprefix("by_epoch/"): v for k, v in moving.items()}


def _read_state(content: bytes) -> tuple[dict[str, np.ndarray], dict]:
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        arrays = dict(archive)
    return arrays, json.loads(arrays.pop("loop").tobytes())
