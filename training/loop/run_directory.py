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
DEVICES = "devices"  # in CONFIG, no setting: which epochs ran where, by stage
STAGE = re.compile(r"\d+-.+")
DRAFTED = re.compile(r".+\.(npz|json|csv|keras)")  # the files that a run writes


class RunDirectory:
    """One run on disk.

    Layout: `config.json`, the resolved recipe; `machine.json`, what the machine that began it
    decided; a directory per stage with its checkpoints while it runs, `log.csv`, TensorBoard
    events, and `result.json` with the weights once it is finished.
    """

    def __init__(self, path: Path, config: Mapping[str, Any], may_differ: Collection[str] = ()):
        """`may_differ` are settings of `config` that another start of the same run may change."""
        self.path, self.config, self.may_differ = path, dict(config), may_differ
        self._lock: FileLock | None = None

    def open(self) -> None:
        """Claim the directory for this process.

        Raises:
            RunError: it cannot be written, is in use, or belongs to a different recipe.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            probe = self.path / f".probe.{os.getpid()}"
            probe.write_bytes(b"\0" * 4096)
            probe.unlink()
        except OSError as error:
            raise self._cannot_be_written(error.strerror) from error
        # A lock of the operating system: it ends with the process, however the process ends.
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
        """Raise what `open` would raise, and write nothing; another process may be at work here."""
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
        """Remove what a killed process of this run was writing, and nothing of other runs below."""
        stages = [each for each in self.path.iterdir() if STAGE.fullmatch(each.name)]
        for folder in (self.path, *stages):
            if folder.is_symlink() or not folder.is_dir():
                continue
            remove_drafts(folder, DRAFTED)

    def require_space(self, needed_bytes: int) -> None:
        """Raise RunError unless the disk has room for `needed_bytes` of files in all."""
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
        """Let others use the directory."""
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
        """What was left to the machine that began this run; for a new run, as it is decided `now`.

        The same bits need the same precision and the same order of images, but the next machine's
        CPU may have other instructions, and its memory room for less.

        Args:
            now: by name.
            formerly: how it was in runs that began before there was a decision of that name.
            keep: write what is decided now.

        Raises:
            RunError: the record of it is damaged.
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
        """Directory of a stage, made if missing by the process that has opened the run."""
        path = self.path / f"{index}-{name.replace(' ', '-')}"
        if self._lock:
            path.mkdir(exist_ok=True)
        return path

    def finished(self, directory: Path) -> StageResult | None:
        """The recorded result of a stage, or None where it has none or its weights are damaged."""
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
        """Write beside the recipe where the epochs of a stage ran."""
        path = self.path / CONFIG
        config = read_json(path, f"remove {self.path} to start again", {})
        noted = config.get(DEVICES)
        config[DEVICES] = {
            **(noted if isinstance(noted, dict) else {}),
            result.name: result.devices,
        }
        write_json(path, config)


def read_config(run: Path) -> dict[str, Any]:
    """The recipe of a run, as recipes are today, from its `config.json`.

    Raises:
        RunError: it is damaged, or a newer version of this package wrote it.
        FileError: it is no regular file, or cannot be read.
    """
    path, remedy = run / CONFIG, f"remove {run} to start again"
    config = read_json(path, remedy, {})
    saved_config.number_of(config, str(path))
    settings = {k: v for k, v in config.items() if k not in (DEVICES, saved_config.NUMBER)}
    return saved_config.current(settings)


def read_json(path: Path, remedy: str, shape: Any) -> Any:
    """The value in a JSON file of a run.

    Args:
        path: the file.
        remedy: what to do about a damaged one.
        shape: see `fitting`.

    Raises:
        RunError: it is damaged, or of another shape; names the remedy.
        FileError: it is no regular file, or cannot be read.
    """
    try:
        return fitting(json.loads(read_text(path)), shape)
    except (ValueError, RecursionError):
        raise RunError(f"{path} is damaged; {remedy}.") from None


def fitting(value: Any, shape: Any) -> Any:
    """`value` of a JSON file, if it has this shape.

    Args:
        value: of the file.
        shape: a type (float takes whole numbers as well); a list with the shape of every element;
            a dict with the shapes of keys that must be there, beside others; a key that may be
            missing ends with "?".

    Raises:
        ValueError: it has not.
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
