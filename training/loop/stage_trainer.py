"""Trains one stage: epochs, checkpoints, logs; exact about where it stopped."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from training.data.encoded import reading
from training.data.pipeline import InputPipeline
from training.loop.accuracy_pass import AccuracyPass
from training.loop.checkpoint import Checkpoints, contents
from training.loop.distribution.workers import Workers, alone
from training.loop.progress import Bar, epoch_line, stage_bar
from training.loop.stage import Stage
from training.loop.step import MOST_STEPS, TrainStep
from zoo.errors import RunError
from zoo.files import write_csv

VALIDATION = ("validation_loss", "validation_top1", "validation_top5")
SECONDS_PER_CALL = 0.5  # how often Python looks after the compiled loop


class Interrupted(KeyboardInterrupt):
    """The user or the system asked the run to stop; its checkpoint is written."""


class StageTrainer:
    """One stage in its directory; continues from its newest whole checkpoint."""

    def __init__(
        self, stage: Stage, step: TrainStep, pipeline: InputPipeline, directory: Path,
        *, checkpoint_minutes: float, tensorboard: bool, stop: StopFlag,
        workers: Workers | None = None, validate_every: int = 1,
    ):  # fmt: skip
        self.stage, self.step, self.pipeline, self.directory = stage, step, pipeline, directory
        self.checkpoints = Checkpoints(directory)
        self.checkpoint_seconds = 60 * checkpoint_minutes
        self.validate_every = validate_every
        self.stop = stop
        self.workers = workers or alone()
        # What all workers have agreed on: whether to stop, and where each continues.
        self.stopping = False
        self.positions: list[int] = []
        self.steps_per_epoch = pipeline.steps_per_epoch
        self.total_steps = stage.epochs * self.steps_per_epoch
        self.evaluation = AccuracyPass(step.model)
        writes = tensorboard and self.workers.is_chief
        self.writer = tf.summary.create_file_writer(str(directory)) if writes else None
        # The state of the loop, besides the variables: what a checkpoint holds as JSON.
        self.done_steps = 0
        self.seconds = 0.0
        self.history: list[dict[str, Any]] = []

    def run(self) -> dict[str, Any]:
        """Train to the end. Returns the last epoch's row of `log.csv`.

        Raises:
            Interrupted: after writing a checkpoint.
            RunError: the loss is not finite; the last good checkpoint stays.
        """
        self.resume()
        with stage_bar(self.stage.name, self.total_steps, self.done_steps) as bar:
            while self.done_steps < self.total_steps:
                self._epoch(self.done_steps // self.steps_per_epoch, bar)
        last = self.history[-1] if self.history else self._validate()
        if last["validation_top1"] is None:  # the last epoch ran elsewhere, as a program
            last.update(self._validate())
            if self.workers.is_chief:
                self._write_log(last)
        self.step.use_averages()
        return last

    # --- one epoch --------------------------------------------------------------------------------

    def _epoch(self, epoch: int, bar: Bar) -> None:
        step = self.step
        end = (epoch + 1) * self.steps_per_epoch
        if self.done_steps == epoch * self.steps_per_epoch:
            step.totals.assign(tf.zeros_like(step.totals))
            step.position.assign(0)
        self.stage.each_epoch(step.model, epoch / self.stage.epochs)
        began = started = saved = time.monotonic()
        first_step, images_before = self.done_steps, step.totals.numpy()[2]
        step.waited.assign(0.0)
        position = int(step.position.numpy())
        batches = iter(self.pipeline.train(epoch, position, steps=end - self.done_steps))
        count = 1
        while self.done_steps < end:
            count = min(count, end - self.done_steps)
            rates = np.array([self._rate(self.done_steps + i) for i in range(count)])
            before = time.monotonic()
            self._call(epoch, batches, rates)
            self._check_loss()
            took = time.monotonic() - before
            self.done_steps += count
            # The first call of a process compiles: its time says nothing of the next.
            if self.done_steps - first_step > 1:
                wanted = int(count * SECONDS_PER_CALL / max(took, 1e-4))
                count = max(1, min(2 * count, wanted, MOST_STEPS))
            loss, correct, images = step.totals.numpy()
            bar.update(self.done_steps, loss / images, 100 * correct / images)
            due = time.monotonic() - saved > self.checkpoint_seconds
            count, due = self._agree(count, due)
            if self.done_steps < end:
                if due or self.stopping:
                    self._save(time.monotonic() - started)
                    saved, started = time.monotonic(), self._count_time(started)
                self._stop_if_asked()

        trained = time.monotonic() - began
        waited, images_now = float(step.waited.numpy()), step.totals.numpy()[2]
        self._log_epoch(epoch, trained, waited, images_now - images_before, bar)
        self._count_time(started)
        self._agree()
        self._save(0.0)
        self._stop_if_asked()

    def _agree(self, count: int = 1, due: bool = False) -> tuple[int, bool]:
        """The chief's steps per call, and whether it is time for a checkpoint.

        Sets `stopping`, if any worker was asked to stop, and `positions`. All workers must do the
        same steps and leave at the same one, or they would wait for each other for ever.
        """
        workers, position = self.workers, int(self.step.position.numpy())
        if workers.count == 1:
            self.stopping, self.positions = self.stop.requested, [position]
            return count, due
        own = np.zeros(3 + workers.count, np.int64)
        own[0], own[3 + workers.index] = self.stop.requested, position
        if workers.is_chief:
            own[1:3] = count, due
        stopping, count, due, *positions = workers.sum(own).tolist()
        self.stopping, self.positions = bool(stopping), positions
        return count, bool(due)

    def _call(self, epoch: int, batches: Iterator, rates: np.ndarray) -> None:
        try:
            with reading(self.pipeline.dataset), self.workers.watching():
                positions = self.step.run(batches, rates, self.done_steps).ravel()
        except tf.errors.OutOfRangeError:
            # Unreadable images beyond the allowed share: this names them.
            self.pipeline.note_positions(epoch, np.zeros(0, np.int64), ended=True)
            raise
        known = len(self.pipeline.corrupt)
        self.pipeline.note_positions(epoch, positions)
        for name in list(self.pipeline.corrupt)[known:]:
            print(f"Skipped an unreadable image: {name}", flush=True)

    def _rate(self, step: int) -> float:
        return self.stage.rate(step, self.steps_per_epoch)

    def _check_loss(self) -> None:
        bad = int(self.step.first_bad_step.numpy())
        if bad >= 0:
            epoch = bad // self.steps_per_epoch + 1
            raise RunError(
                f"The loss became infinite or NaN at step {bad} (epoch {epoch}) of stage "
                f"'{self.stage.name}'; the last good checkpoint is kept in {self.directory}. "
                "Try a lower learning rate."
            )

    def _stop_if_asked(self) -> None:
        if self.stopping:
            epoch = self.done_steps // self.steps_per_epoch + 1
            raise Interrupted(
                f"Stopped in stage '{self.stage.name}', epoch {epoch}, after step "
                f"{self.done_steps} of {self.total_steps}."
            )

    # --- records ----------------------------------------------------------------------------------

    def _validates(self, epoch: int) -> bool:
        return (epoch + 1) % self.validate_every == 0 or epoch + 1 == self.stage.epochs

    def _validate(self) -> dict[str, Any]:
        with self.step.averages_in_use():
            validation, positions = self.evaluation.run(self.pipeline.validation())
        self.pipeline.note_validation(positions)
        own = np.array([validation[name.removeprefix("validation_")] for name in VALIDATION])
        means = self.workers.mean(own, validation["images"]).tolist()
        return dict(zip(VALIDATION, means, strict=True))

    def _log_epoch(
        self, epoch: int, trained: float, waited: float, images: float, bar: Bar
    ) -> None:
        loss, correct, total = self.step.totals.numpy()
        row = {
            "epoch": epoch + 1,
            "learning_rate": self._rate(self.done_steps - 1),
            "loss": loss / total,
            "top1": 100 * correct / total,
            **(self._validate() if self._validates(epoch) else dict.fromkeys(VALIDATION)),
            "seconds": trained,
            "images_per_second": images / trained,
            "input_wait": waited / trained,
            "device": device_name(),
        }
        self.history.append(row)
        if self.workers.is_chief:
            self._write_log(row)
        bar.line(epoch_line(self.stage.name, row, self.stage.epochs))

    def _write_log(self, row: dict[str, Any]) -> None:
        write_csv(self.directory / "log.csv", row, self.history)
        if self.writer:
            with self.writer.as_default(step=row["epoch"]):
                for name, value in row.items():
                    if isinstance(value, (int, float)):  # not the device's name
                        tf.summary.scalar(name, value)
            self.writer.flush()

    def _count_time(self, since: float) -> float:
        now = time.monotonic()
        self.seconds += now - since
        return now

    def _save(self, uncounted_seconds: float) -> None:
        if not self.workers.is_chief:
            return
        self.checkpoints.save(self.done_steps, *self._state(uncounted_seconds))

    def _state(self, uncounted_seconds: float = 0.0) -> tuple[dict[str, Any], dict[str, Any]]:
        arrays = {key: variable.numpy() for key, variable in self.step.variables().items()}
        loop = {
            "done_steps": self.done_steps,
            "seconds": self.seconds + uncounted_seconds,
            "history": self.history,
            "positions": self.positions or [int(self.step.position.numpy())],
        }
        return arrays, loop

    def checkpoint(self) -> dict[str, np.ndarray]:
        """The arrays of a checkpoint's file, as the stage stands now."""
        return contents(*self._state())

    def take(self, arrays: dict[str, np.ndarray], loop: dict[str, Any]) -> None:
        """Make a state that was trained elsewhere the newest checkpoint.

        Raises:
            RunError: this run has come further.
        """
        self.resume()
        if loop["done_steps"] < self.done_steps:
            raise RunError(
                f"Stage '{self.stage.name}' has {self.done_steps} steps done here, and "
                f"{loop['done_steps']} there: the run here has come further and stays as it is."
            )
        self.checkpoints.save(loop["done_steps"], arrays, loop)

    def is_done(self) -> bool:
        """Whether no step is left, after taking the newest checkpoint."""
        self.resume()
        return self.done_steps == self.total_steps

    def resume(self) -> None:
        """Take the newest whole checkpoint, where there is one."""
        found = self.workers.from_chief(lambda: self.checkpoints.load(print))
        if found is None:
            return
        arrays, loop = self.step.by_name(found[0]), found[1]
        variables = self.step.variables()
        shapes_fit = arrays.keys() == variables.keys() and all(
            arrays[key].shape == tuple(variables[key].shape) for key in variables
        )
        if not shapes_fit:
            raise RunError(
                f"The checkpoint in {self.directory} is of another network; remove that directory "
                "or choose another output_dir=..."
            )
        for key, variable in variables.items():
            variable.assign(arrays[key])
        self.done_steps, self.seconds = loop["done_steps"], loop["seconds"]
        self.history = loop["history"]
        before = loop.get("positions", [int(arrays["position"])])
        self.step.position.assign(self._position(before))
        print(f"Continuing stage '{self.stage.name}' after step {self.done_steps}.", flush=True)

    def _position(self, positions: list[int]) -> int:
        """Where this worker continues: where it stopped, if as many continue as stopped.

        Else where all stand that have passed no unreadable image.
        """
        if len(positions) == self.workers.count:
            return positions[self.workers.index]
        return self.done_steps % self.steps_per_epoch * self.pipeline.batch_size


def device_name() -> str:
    """What computes here, and by which library: "CPU, TensorFlow 2.19.1"."""
    gpus = tf.config.list_physical_devices("GPU")
    details = tf.config.experimental.get_device_details(gpus[0]) if gpus else {}
    kind = details.get("device_name", "GPU" if gpus else "CPU")
    return f"{kind}, TensorFlow {tf.__version__}"


def devices(history: list[dict[str, Any]]) -> str:
    """Which epochs ran where: "1-400 on NVIDIA H100, JAX 0.11.0; 401-500 on CPU, ..."."""
    parts: list[tuple[str, int, int]] = []
    for row in history:
        device, epoch = row.get("device", ""), row["epoch"]
        if parts and parts[-1][0] == device:
            parts[-1] = (device, parts[-1][1], epoch)
        else:
            parts.append((device, epoch, epoch))
    return "; ".join(f"{first}-{last} on {device}" for device, first, last in parts if device)


class StopFlag:
    """Set by Ctrl-C or SIGTERM; a second Ctrl-C stops at once."""

    requested = False

    @contextmanager
    def listening(self) -> Iterator[StopFlag]:
        """Turn both signals into this flag while the block runs (in the main thread)."""
        if threading.current_thread() is not threading.main_thread():
            yield self
            return
        before = {s: signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)}

        def request(signum: int, frame: Any) -> None:
            if self.requested and signum == signal.SIGINT:
                raise KeyboardInterrupt
            self.requested = True

        for each in before:
            signal.signal(each, request)
        try:
            yield self
        finally:
            for each, handler in before.items():
                signal.signal(each, handler)


def checkpoint_bytes(step: TrainStep) -> int:
    """Size of one checkpoint."""
    return sum(math.prod(v.shape) * v.dtype.size for v in step.variables().values())
