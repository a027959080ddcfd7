"""Run the real command in real processes on a tiny folder of images, and check its results."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

ROOT = Path(os.environ.get("ATTACKED_ROOT", Path(__file__).parents[2]))
CLASSES = ("bars", "rings")
IMAGES = {"train": 24, "val": 8}  # images of each class
SIDE = 16
LIMIT = 240  # seconds until a command counts as hung
SETTINGS = {
    "dataset": "ImageFolder",
    "preprocessing": "PadCropFlip",
    "preprocessing.input_shape": f"{SIDE},{SIDE},1",
    "preprocessing.padding": 1,
    "model.width": 0.25,
    "epochs": 2,
    "batch_size": 8,
    "tensorboard": False,
    "checkpoint_minutes": 0,
}

# --- the command ----------------------------------------------------------------------------------


@dataclass
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str
    args: Sequence[str] = ()

    def __str__(self) -> str:
        command = " ".join(map(str, self.args))[:2000]
        return f"{command}\nexit code {self.code}\n--- out\n{self.out}\n--- err\n{self.err}"

    def held(self) -> Ended:
        """Assert that the exit code is 0."""
        assert self.code == 0 and "Traceback" not in self.err, str(self)
        return self

    def refused(self, *words: str) -> Ended:
        """Assert exit code 2 and one sentence that contains these words."""
        assert self.code == 2, str(self)
        lines = [line for line in self.err.splitlines() if line.strip()]
        assert "Traceback" not in self.err and lines and lines[-1].startswith("Error: "), str(self)
        for word in words:
            assert word.casefold() in lines[-1].casefold(), (
                f"'{word}' is not in {lines[-1]}\n{self}"
            )
        return self


@dataclass
class Command:
    """The real command in a folder."""

    folder: Path
    started: list[subprocess.Popen] = field(default_factory=list)

    def start(
        self,
        *words: Any,
        module: str = "training",
        env: dict[str, str | None] | None = None,
        before: Callable[[], None] | None = None,
        prefix: Sequence[str] = (),
        **options: Any,
    ) -> subprocess.Popen:
        """Start `python -m MODULE WORDS` in a new process group.

        Args:
            words: arguments; dicts become key=value.
            module: the module to run.
            env: environment variables; None removes one.
            before: called first in the new process.
            prefix: a command that starts the process.
            options: arguments of `Popen`.
        """
        text: list[str] = []
        for word in words:
            text += [f"{k}={v}" for k, v in word.items()] if isinstance(word, dict) else [str(word)]
        variables = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **(env or {})}
        variables = {key: value for key, value in variables.items() if value is not None}
        process = subprocess.Popen(
            [*prefix, sys.executable, "-m", module, *text],
            **{
                "cwd": self.folder,
                "env": variables,
                "stdout": subprocess.PIPE,
                "stderr": subprocess.PIPE,
                "text": True,
                "preexec_fn": before,
                "start_new_session": True,
                "errors": "replace",
                **options,
            },
        )
        self.started.append(process)
        return process

    def run(self, *words: Any, **options: Any) -> Ended:
        """Call `start` and wait for the end."""
        return self.end_of(self.start(*words, **options))

    def end_of(self, process: subprocess.Popen, seconds: float = LIMIT) -> Ended:
        """Wait for the end of a process; fail if it does not end in time."""
        try:
            out, err = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            out, err = process.communicate()
            pytest.fail(f"hung: {process.args}\n{out}\n{err}")
        return Ended(process.returncode, out or "", err or "", process.args)

    def train(self, *more: Any, recipe: str = "RealResNet20", **options: Any) -> Ended:
        """Train two short epochs into `run`; these settings replace the defaults."""
        return self.end_of(self.start_train(*more, recipe=recipe, **options))

    def start_train(self, *more: Any, recipe: str = "RealResNet20", **options: Any):
        """Start the same training and do not wait."""
        settings = self.settings
        for each in more:
            settings.update(each)
        return self.start("train", recipe, settings, **options)

    @property
    def settings(self) -> dict[str, Any]:
        return {**SETTINGS, "dataset.data_dir": "photos", "output_dir": "run"}

    def stop_all(self) -> None:
        for process in self.started:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            with contextlib.suppress(Exception):
                process.communicate(timeout=10)


# --- images ---------------------------------------------------------------------------------------


def picture(label: int, number: int) -> Image.Image:
    """Return an image of one of two kinds."""
    draw = np.random.default_rng([label, number])
    y, x = np.mgrid[:SIDE, :SIDE]
    wave = np.sin((x if label == 0 else np.hypot(x - SIDE / 2, y - SIDE / 2)) * 0.9)
    pixels = 128 + 100 * wave + draw.normal(0, 20, (SIDE, SIDE))
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


# --- what runs leave ------------------------------------------------------------------------------


def weights_of(run: Path) -> dict[str, str]:
    """Return the sha256 of each stage's weights; assert that the recorded one is equal."""
    found = {}
    for path in sorted(run.glob("*/result.json")):
        result = json.loads(path.read_text())
        digest = hashlib.sha256((path.parent / result["weights"]).read_bytes()).hexdigest()
        assert digest == result["sha256"]
        found[result["name"]] = digest
    assert found
    return found


def nothing_left(folder: Path) -> None:
    """Assert that a folder contains no drafts, at any depth."""
    drafts = [each for each in folder.rglob(".*.[0-9]*") if each.name != ".lock"]
    assert not drafts, drafts


def wait_until(there: Callable[[], Any], process: subprocess.Popen, seconds: float = LIMIT) -> None:
    """Wait until `there()` is true; fail if the process ends before."""
    end = time.monotonic() + seconds
    while not there():
        if process.poll() is not None:
            out, err = process.communicate()
            pytest.fail(f"ended with {process.returncode} before\n{out}\n{err}")
        assert time.monotonic() < end, "it did not come so far"
        time.sleep(0.01)


def checkpointed(run: Path, stage: str = "1-real", count: int = 1) -> Callable[[], bool]:
    """Return whether a stage has this number of checkpoints."""
    index = run / stage / "checkpoints.json"
    return lambda: index.exists() and len(json.loads(index.read_text())) >= count


@contextlib.contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """Mount a separate small file system; skip the test if this is not allowed."""
    folder.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], capture_output=True
    )
    if made.returncode:
        pytest.skip("mounting a file system needs root")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)
