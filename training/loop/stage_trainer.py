"""Train one stage: epochs, checkpoints, logs. A stopped stage resumes exactly."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from training.data.pipeline import InputPipeline
from training.loop.accuracy_pass import AccuracyPass
from training.loop.checkpoint import Checkpoints, contents, not_finite
from training.loop.devices import device_name
from training.loop.distribution.workers import Workers, alone
from training.loop.progress import Bar, epoch_line, say, stage_bar
from training.loop.stage import Stage
from training.loop.stage_log import StageLog
from training.loop.step import MOST_STEPS, TrainStep
from training.loop.stopping import Interrupted, StopFlag
from zoo.errors import RunError

VALIDATION = ("validation_loss", "validation_top1", "validation_top5")
LOOP = {
    "done_steps": int,
    "seconds": float,
    "history": [{"epoch": int, VALIDATION[1]: object}],
    "positions?": [int],  # older checkpoints lack them
}
SECONDS_PER_CALL = 0.5  # target duration of one call of the compiled loop


class StageTrainer:
    """Train one stage in its directory; continue from its newest complete checkpoint."""

    def __init__(
        self,
        stage: Stage,
        step: TrainStep,
        pipeline: InputPipeline,
        directory: Path,
        *,
        checkpoint_minutes: float,
        tensorboard: bool,
        stop: StopFlag,
        workers: Workers | None = None,
        validate_every: int = 1,
        whose: str | None = None,
    ):
        """`whose` names recipe and stage; checkpoints of another recipe or stage are refused."""
        self.stage, self.step, self.pipeline, self.directory = stage, step, pipeline, directory
        self.checkpoints = Checkpoints(directory)
        self.checkpoint_seconds = 60 * checkpoint_minutes
        self.validate_every, self.whose = validate_every, whose
        self.stop = stop
        self.workers = workers or alone()
        # Agreed between all workers: whether to stop, and where each continues.
        self.stopping = False
        self.positions: list[int] = []
        self.steps_per_epoch = pipeline.steps_per_epoch
        self.total_steps = stage.epochs * self.steps_per_epoch
        self.evaluation = AccuracyPass(step.model)
        self.log = StageLog(directory, tensorboard) if self.workers.is_chief else None
        # The loop's state that is not in variables; a checkpoint stores it as JSON.
        self.done_steps = 0
        self.seconds = 0.0
        self.history: list[dict[str, Any]] = []

    def run(self) -> dict[str, Any]:
        """Train to the end. Returns the last epoch's row of `log.csv`.

        Raises:
            Interrupted: the run was asked to stop; a checkpoint is written first.
            RunError: the loss or a weight is not finite; the last good checkpoint stays.
        """
        self.resume()
        with stage_bar(self.stage, self.steps_per_epoch, self.done_steps) as bar:
            while self.done_steps < self.total_steps:
                self._epoch(self.done_steps // self.steps_per_epoch, bar)
        last = self.history[-1] if self.history else self._validate()
        if last["validation_top1"] is None:  # the last epoch ran elsewhere, as a program
            last.update(self._validate())
            if self.log:
                self.log.write(self.history)
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
        with self.stop.waiting_for(self.pipeline.service_fault):
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
            # The first call of a process compiles, so its time does not predict the next.
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

        with self.stop.waiting_for(self.pipeline.service_fault):
            del batches  # which a data service hears
        trained = time.monotonic() - began
        waited, images_now = float(step.waited.numpy()), step.totals.numpy()[2]
        self._log_epoch(epoch, trained, waited, images_now - images_before, bar)
        self._count_time(started)
        self._agree()
        self._save(0.0)
        self._stop_if_asked()

    def _agree(self, count: int = 1, due: bool = False) -> tuple[int, bool]:
        """Return the chief's steps per call, and whether a checkpoint is due.

        Sets `positions`, and `stopping` if any worker was asked to stop. All workers must do the
        same steps and stop at the same step; otherwise they would wait for each other forever.
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
        absence = self.pipeline.service_fault
        try:
            with self.pipeline.reading(), self.workers.watching(), self.stop.waiting_for(absence):
                positions = self.step.run(batches, rates, self.done_steps).ravel()
        except tf.errors.OutOfRangeError:
            # If more images are unreadable than allowed, this call raises an error that names them.
            self.pipeline.note_positions(epoch, np.zeros(0, np.int64), ended=True)
            raise
        known = len(self.pipeline.corrupt)
        self.pipeline.note_positions(epoch, positions)
        for name in list(self.pipeline.corrupt)[known:]:
            say(f"Skipped an unreadable image: {self.pipeline.described(name)}")

    def _rate(self, step: int) -> float:
        return self.stage.rate(step, self.steps_per_epoch)

    def _check_loss(self) -> None:
        bad = int(self.step.first_bad_step.numpy())
        if bad >= 0:
            raise self._diverged("The loss", bad)

    def _diverged(self, what: str, step: int) -> RunError:
        return RunError(
            f"{what} became infinite or NaN at step {step} (epoch "
            f"{step // self.steps_per_epoch + 1}) of stage '{self.stage.name}'; the last good "
            f"checkpoint is kept in {self.directory}. Try a lower learning rate."
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

    def _pass(self) -> tuple[dict[str, Any], np.ndarray]:
        with self.pipeline.reading(validation=True):
            return self.evaluation.run(self.pipeline.validation(), confusion=False)

    def _validate(self) -> dict[str, Any]:
        with self.step.averages_in_use():
            validation, positions = self._pass()
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
        if self.log:
            self.log.write(self.history)
        bar.line(epoch_line(self.stage.name, row, self.stage.epochs, short=bar.narrow))

    def _count_time(self, since: float) -> float:
        now = time.monotonic()
        self.seconds += now - since
        return now

    def _save(self, uncounted_seconds: float) -> None:
        self.workers.from_chief(lambda: self._write(uncounted_seconds))

    def _write(self, uncounted_seconds: float) -> None:
        arrays, loop = self._state(uncounted_seconds)
        # The last step's loss was computed before its update, so check the weights too.
        if not_finite(arrays):
            raise self._diverged("A weight", max(self.done_steps - 1, 0))
        self.checkpoints.save(self.done_steps, arrays, loop)

    def _state(self, uncounted_seconds: float = 0.0) -> tuple[dict[str, Any], dict[str, Any]]:
        arrays = {key: variable.numpy() for key, variable in self.step.variables().items()}
        loop = {
            "done_steps": self.done_steps,
            "seconds": self.seconds + uncounted_seconds,
            "history": self.history,
            "positions": self.positions or [int(self.step.position.numpy())],
            "whose": self.whose,
        }
        return arrays, loop

    def checkpoint(self) -> dict[str, np.ndarray]:
        """Return the arrays of a checkpoint's file for the current state of the stage."""
        return contents(*self._state())

    def take(self, arrays: dict[str, np.ndarray], loop: dict[str, Any]) -> None:
        """Store a state that was trained elsewhere as the newest checkpoint.

        Raises:
            RunError: this run has trained more steps than that state.
        """
        self.resume()
        if loop["done_steps"] < self.done_steps:
            raise RunError(
                f"Stage '{self.stage.name}' has {self.done_steps} steps done here, and "
                f"{loop['done_steps']} there: the run here is ahead and stays unchanged."
            )
        self.checkpoints.save(loop["done_steps"], arrays, loop)

    def is_anothers(self, loop: dict[str, Any]) -> bool:
        """Return whether a loop's state is known to belong to another recipe or stage."""
        return None not in (loop.get("whose"), self.whose) and loop["whose"] != self.whose

    def is_done(self) -> bool:
        """Load the newest checkpoint; return whether all steps are done."""
        self.resume()
        return self.done_steps == self.total_steps

    def resume(self) -> None:
        """Load the newest complete checkpoint, if there is one."""
        found = self.workers.from_chief(lambda: self.checkpoints.load(say, LOOP))
        if found is None:
            return
        arrays, loop = self.step.by_name(found[0]), found[1]
        variables = self.step.variables()
        shapes_fit = arrays.keys() == variables.keys() and all(
            arrays[key].shape == tuple(variables[key].shape) for key in variables
        )
        others = ""
        if not shapes_fit:
            others = "another network"
        elif self.is_anothers(loop):
            others = "another run or stage"
        elif not 0 <= loop["done_steps"] <= self.total_steps:
            others = f"step {loop['done_steps']} of {self.total_steps}"
        if others:
            raise RunError(
                f"The checkpoint in {self.directory} belongs to {others}; remove that directory "
                "or choose another output_dir=..."
            )
        for key, variable in variables.items():
            variable.assign(arrays[key])
        self.done_steps, self.seconds = loop["done_steps"], loop["seconds"]
        self.history = loop["history"]
        before = loop.get("positions") or [int(arrays["position"])]
        self.step.position.assign(self._position(before))
        say(f"Continuing stage '{self.stage.name}' after step {self.done_steps}.")

    def _position(self, positions: list[int]) -> int:
        """Return the position in the images from which this worker continues.

        With the same number of workers it continues where it stopped; with another number, at the
        position that follows from the steps if no image was unreadable.
        """
        if len(positions) == self.workers.count:
            return positions[self.workers.index]
        return self.done_steps % self.steps_per_epoch * self.pipeline.batch_size


def checkpoint_bytes(step: TrainStep) -> int:
    """Return the size of one checkpoint in bytes."""
    return sum(math.prod(v.shape) * v.dtype.size for v in step.variables().values())
