"""A run's directory: its recipe, and the results of its finished stages."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
from collections.abc import Collection, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from training.loop.stage import StageResult
from training.settings import saved_config
from zoo.errors import FileError, RunError
from zoo.files import existing_part, is_writable, remove_drafts, sha256, write_json
from zoo.untrusted.opening import read_text

CONFIG = "config.json"
RESULT = "result.json"
MACHINE = "machine.json"
RESULT_SHAPE = {
    "name": str,
    "top1": float,
    "top5": float,
    "images": int,
    "epochs": int,
    "seconds": float,
    "weights": str,
    "sha256": str,
    "inputs": {},
}
DEVICES = "devices"  # a key in CONFIG that is no setting: which epochs ran where, by stage
STAGE = re.compile(r"\d+-.+")
DRAFTED = re.compile(r".+\.(npz|json|csv|keras)")  # the files that a run writes


class RunDirectory:
    """One run on disk.

    Layout: `config.json`, the resolved recipe; `machine.json`, the decisions of the machine that
    began the run; a directory per stage. A stage's directory holds `log.csv`, TensorBoard events,
    checkpoints while the stage runs, and `result.json` and the weights when it is finished.
    """

    def __init__(self, path: Path, config: Mapping[str, Any], may_differ: Collection[str] = ()):
        """`may_differ`: settings of `config` that a later start of the same run may change."""
        self.path, self.config, self.may_differ = path, dict(config), may_differ
        self._lock: FileLock | None = None

    def open(self) -> None:
        """Claim the directory for this process.

        Raises:
            RunError: the directory is not writable, is in use, or belongs to a different recipe.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            probe = self.path / f".probe.{os.getpid()}"
            probe.write_bytes(b"\0" * 4096)
            probe.unlink()
        except OSError as error:
            raise self._cannot_be_written(error.strerror) from error
        # The operating system releases this lock, however the process ends.
        lock = FileLock(self.path / ".lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise RunError(
                f"Another process is training in {self.path}; wait for it, stop it, or choose "
                "another output_dir=..."
            ) from None
        self._lock = lock
        self._check_recipe()
        self._remove_drafts()

    def check(self) -> None:
        """Raise what `open` would raise, but write nothing: another process may be using it."""
        try:
            place = existing_part(self.path)
            os.lstat(self.path)
        except (FileNotFoundError, NotADirectoryError):
            pass
        except OSError as error:
            raise self._cannot_be_written(error.strerror) from error
        if not place.is_dir():
            raise self._cannot_be_written(f"{place} is a file")
        if not is_writable(place):
            raise self._cannot_be_written(os.strerror(errno.EACCES))
        if (self.path / CONFIG).exists():
            self._compare_recipe()

    def _cannot_be_written(self, why: str | None) -> RunError:
        return RunError(
            f"The run directory {self.path} cannot be written ({why}); choose another with "
            "output_dir=..."
        )

    def _remove_drafts(self) -> None:
        """Remove unfinished files of a killed process of this run; keep runs in subfolders."""
        stages = [each for each in self.path.iterdir() if STAGE.fullmatch(each.name)]
        for folder in (self.path, *stages):
            if folder.is_symlink() or not folder.is_dir():
                continue
            remove_drafts(folder, DRAFTED)

    def require_space(self, needed_bytes: int) -> None:
        """Raise RunError unless the run's files can grow to `needed_bytes` in all."""
        here = sum(each.stat().st_size for each in self.path.rglob("*") if each.is_file())
        place = existing_part(self.path)
        free, needed = shutil.disk_usage(place).free, max(needed_bytes - here, 0)
        if free < needed:
            raise RunError(
                f"The run directory {self.path} has {free / 2**20:,.1f} MiB free, but checkpoints "
                f"and results need {needed / 2**20:,.1f} MiB; make room or choose another "
                "output_dir=..."
            )

    def close(self) -> None:
        """Release the directory for other processes."""
        if self._lock:
            self._lock.release()
            self._lock = None

    def _check_recipe(self) -> None:
        path = self.path / CONFIG
        if not path.exists():
            write_json(path, {saved_config.NUMBER: saved_config.FORMAT, **self.config})
        else:
            self._compare_recipe()

    def _compare_recipe(self) -> None:
        before = read_config(self.path)
        differences = [
            f"{key}: {before.get(key)!r} there, {self.config.get(key)!r} here"
            for key in sorted({*before, *self.config})
            if before.get(key) != self.config.get(key) and key not in self.may_differ
        ]
        if differences:
            raise RunError(
                f"The run in {self.path} belongs to a different recipe ({'; '.join(differences)}): "
                f"choose another output_dir=..., give the same settings, or continue it with "
                f"'lqz train {self.path}'."
            )

    def decide(
        self, now: Mapping[str, Any], formerly: Mapping[str, Any], *, keep: bool = True
    ) -> dict[str, Any]:
        """Return the decisions of the machine that began this run; `now` for a new run.

        The same result to the bit needs the same precision and the same order of images. But a
        later machine may have other CPU instructions and less memory.

        Args:
            now: this machine's decisions, by name.
            formerly: the values in runs that are older than a decision of that name.
            keep: write the decisions of a new run.

        Raises:
            RunError: the recorded decisions are damaged.
        """
        path = self.path / MACHINE
        before: dict[str, Any] = {}
        if path.exists():
            remedy = f"remove {self.path} to start again"
            before = {**formerly, **read_json(path, remedy, {})}
            if any(type(before.get(key, value)) is not type(value) for key, value in now.items()):
                raise RunError(f"{path} is damaged; {remedy}.")
        decided = {**now, **before}
        if decided != before and keep:
            write_json(path, decided)
        return decided

    def stage(self, index: int, name: str) -> Path:
        """Return the directory of a stage; create it if this process has opened the run."""
        path = self.path / f"{index}-{name.replace(' ', '-')}"
        if self._lock:
            path.mkdir(exist_ok=True)
        return path

    def finished(self, directory: Path) -> StageResult | None:
        """Return the recorded result of a stage; None if missing or if its weights are damaged."""
        try:
            result = StageResult(**fitting(json.loads(read_text(directory / RESULT)), RESULT_SHAPE))
            whole = (
                Path(result.weights).name == result.weights
                and sha256(directory / result.weights) == result.sha256
            )
        except (FileError, ValueError, TypeError, RecursionError):
            return None
        return result if whole else None

    def finish(self, directory: Path, result: StageResult) -> None:
        """Record a stage's result and drop its checkpoints."""
        write_json(directory / RESULT, asdict(result))
        self._note_devices(result)
        for leftover in directory.glob("*.npz"):
            if leftover.name != result.weights:
                leftover.unlink()
        (directory / "checkpoints.json").unlink(missing_ok=True)

    def _note_devices(self, result: StageResult) -> None:
        """Write into CONFIG where the epochs of a stage ran."""
        path = self.path / CONFIG
        config = read_json(path, f"remove {self.path} to start again", {})
        noted = config.get(DEVICES)
        config[DEVICES] = {
            **(noted if isinstance(noted, dict) else {}),
            result.name: result.devices,
        }
        write_json(path, config)


def read_config(run: Path) -> dict[str, Any]:
    """Read the recipe of a run from its `config.json`, converted to today's format.

    Raises:
        RunError: the file is damaged, or a newer version of this package wrote it.
        FileError: it is not a regular file, or cannot be read.
    """
    path, remedy = run / CONFIG, f"remove {run} to start again"
    config = read_json(path, remedy, {})
    saved_config.number_of(config, str(path))
    settings = {k: v for k, v in config.items() if k not in (DEVICES, saved_config.NUMBER)}
    return saved_config.current(settings)


def read_json(path: Path, remedy: str, shape: Any) -> Any:
    """Return the value in a JSON file of a run.

    Args:
        path: the file.
        remedy: text for the error message: what the user can do if the file is damaged.
        shape: see `fitting`.

    Raises:
        RunError: the file is damaged, or has another shape; the message names the remedy.
        FileError: it is not a regular file, or cannot be read.
    """
    try:
        return fitting(json.loads(read_text(path)), shape)
    except (ValueError, RecursionError):
        raise RunError(f"{path} is damaged; {remedy}.") from None


def fitting(value: Any, shape: Any) -> Any:
    """Return `value` if it has this shape.

    Args:
        value: the value read from a JSON file.
        shape: a type (float accepts integers too); a list with the shape of every element; or a
            dict with the shapes of required keys (other keys are allowed). A key that may be
            missing ends with "?".

    Raises:
        ValueError: it has another shape.
    """
    if isinstance(shape, dict):
        needed = {key for key in shape if not key.endswith("?")}
        if not isinstance(value, dict) or not needed <= value.keys():
            raise ValueError(f"not an object with {', '.join(sorted(needed))}")
        for key, inner in shape.items():
            if (name := key.rstrip("?")) in value:
                fitting(value[name], inner)
    elif isinstance(shape, list):
        if not isinstance(value, list):
            raise ValueError("not a list")
        for each in value:
            fitting(each, shape[0])
    else:
        kinds = (int, float) if shape is float else (shape,)
        if not isinstance(value, kinds) or (isinstance(value, bool) and shape is not bool):
            raise ValueError(f"{value!r} is no {shape.__name__}")
    return value
