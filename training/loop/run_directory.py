"""A run's directory: which recipe it belongs to, and what its finished stages left."""

from __future__ import annotations

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
from zoo.files import sha256, write_json
from zoo.untrusted.opening import read_text

CONFIG = "config.json"
RESULT = "result.json"
MACHINE = "machine.json"
DEVICES = "devices"  # in CONFIG, no setting: which epochs ran where, by stage
STAGE = re.compile(r"\d+-.+")
DRAFT = re.compile(r"\..+\.(npz|json|csv|keras)\.\d+")  # zoo.files.write_atomically's


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
            RunError: it cannot be written, is in use, or belongs to another recipe.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            probe = self.path / f".probe.{os.getpid()}"
            probe.write_bytes(b"\0" * 4096)
            probe.unlink()
        except OSError as error:
            raise RunError(
                f"The run directory {self.path} cannot be written ({error.strerror}); choose "
                "another with output_dir=..."
            ) from error
        # A lock of the operating system: it goes with the process, however that ends.
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

    def _remove_drafts(self) -> None:
        """Remove what a killed process of this run was writing, and nothing of other runs below."""
        stages = [each for each in self.path.iterdir() if STAGE.fullmatch(each.name)]
        for folder in (self.path, *stages):
            if folder.is_symlink() or not folder.is_dir():
                continue
            for draft in folder.iterdir():
                if DRAFT.fullmatch(draft.name) and draft.is_file() and not draft.is_symlink():
                    draft.unlink()

    def require_space(self, needed_bytes: int) -> None:
        """Raise RunError unless the disk has room for `needed_bytes` more."""
        free = shutil.disk_usage(self.path).free
        if free < needed_bytes:
            raise RunError(
                f"The run directory {self.path} has {free / 2**20:,.0f} MiB free, but checkpoints "
                f"need {needed_bytes / 2**20:,.0f} MiB; make room or choose another output_dir=..."
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
            return
        before = read_config(self.path)
        differences = [
            f"{key}: {before.get(key)!r} there, {self.config.get(key)!r} here"
            for key in sorted({*before, *self.config})
            if before.get(key) != self.config.get(key) and key not in self.may_differ
        ]
        if differences:
            raise RunError(
                f"The run in {self.path} belongs to another recipe ({'; '.join(differences)}): "
                f"choose another output_dir=..., give the same settings, or continue it with "
                f"'lqz train {self.path}'."
            )

    def decide(self, now: Mapping[str, Any]) -> dict[str, Any]:
        """What was left to the machine that began this run; for a new run, as it is decided `now`.

        The same bits need the same precision and the same order of images, but the next machine's
        CPU may have other instructions, and its memory room for less.

        Raises:
            RunError: the record of it is damaged.
        """
        path = self.path / MACHINE
        before = read_json(path, f"remove {self.path} to start afresh") if path.exists() else {}
        decided = {**now, **before}
        if decided != before:
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
            result = StageResult(**json.loads(read_text(directory / RESULT)))
            whole = sha256(directory / result.weights) == result.sha256
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
        config = read_json(path, f"remove {self.path} to start afresh")
        config[DEVICES] = {**config.get(DEVICES, {}), result.name: result.devices}
        write_json(path, config)


def read_config(run: Path) -> dict[str, Any]:
    """The recipe of a run, as recipes are today, from its `config.json`.

    Raises:
        RunError: it is damaged, or a newer version of this package wrote it.
        FileError: it is no regular file, or cannot be read.
    """
    path, remedy = run / CONFIG, f"remove {run} to start afresh"
    config = read_json(path, remedy)
    if not isinstance(config, dict):
        raise RunError(f"{path} is damaged; {remedy}.")
    saved_config.number_of(config, str(path))
    settings = {k: v for k, v in config.items() if k not in (DEVICES, saved_config.NUMBER)}
    return saved_config.current(settings)


def read_json(path: Path, remedy: str) -> Any:
    """The value in a JSON file of a run.

    Raises:
        RunError: it is damaged; names the remedy.
        FileError: it is no regular file, or cannot be read.
    """
    try:
        return json.loads(read_text(path))
    except (ValueError, RecursionError):
        raise RunError(f"{path} is damaged; {remedy}.") from None
