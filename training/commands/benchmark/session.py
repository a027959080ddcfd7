"""Worker processes, and their measurement in turns."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from zoo.errors import DeployError

BURST = 0.1  # seconds that a runtime computes in one turn


class Worker:
    """A separate process with one runtime and one model.

    Attributes:
        load_s: seconds to read and compile the model and to compute once.
        outputs: the outputs for the images.
        seconds: all times measured so far.
    """

    def __init__(self, kind: str, path: Path, threads: int, images: Path):
        self.kind = kind
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  (closed with the process)
        # This also sets the number of OpenMP threads in other libraries.
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
        self._process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "training.commands.benchmark.worker",
                kind,
                str(path),
                str(threads),
                str(images),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env=environment,
            start_new_session=True,  # Ctrl-C reaches only this process, which ends the worker
        )
        self.seconds: list[float] = []
        try:
            loaded = self._answer()
        except BaseException:
            self.close()
            raise
        self.load_s, self.outputs = loaded["load_s"], loaded["outputs"]

    def measure(self, runs: int) -> float:
        """Measure `runs` times, add the times to `seconds` and return their median."""
        new = self.ask(do="time", runs=runs)["seconds"]
        self.seconds += new
        return statistics.median(new)

    def ask(self, **request: Any) -> Any:
        stdin = self._process.stdin
        assert stdin
        try:
            stdin.write(json.dumps(request) + "\n")
            stdin.flush()
        except BrokenPipeError:
            pass  # the worker has ended; its last output gives the reason
        return self._answer()

    def _answer(self) -> Any:
        stdout = self._process.stdout
        assert stdout
        line = stdout.readline()
        if not line:
            self._errors.seek(0)
            said = self._errors.read().decode(errors="replace").strip().splitlines()
            reason = said[-1] if said else f"exit code {self._process.wait()}"
            raise DeployError(f"The runtime '{self.kind}' ended: {reason.rstrip('.')}.")
        return json.loads(line)

    def close(self) -> None:
        if self._process.poll() is None:
            self._process.kill()  # it has nothing to save and may compute for seconds
        for stream in (self._process.stdin, self._process.stdout):
            if stream:
                stream.close()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._errors.close()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def measure_in_turns(
    workers: Sequence[Worker],
    rounds: int,
    tell: Callable[[int, int], None] = lambda index, turn: None,
) -> None:
    """Let the workers measure in turns, round by round, so that all run under the same conditions.

    Before each measurement, `tell` is called with the index of the worker and of the round.
    """
    runs = [max(1, int(BURST / worker.measure(1))) for worker in workers]
    for worker in workers:
        worker.seconds.clear()  # the first measurement was the warm-up
    for turn in range(rounds):
        order = range(len(workers))
        for index in order if turn % 2 == 0 else reversed(order):
            tell(index, turn)
            workers[index].measure(runs[index])


def spread(seconds: Sequence[float]) -> dict[str, float]:
    """Return median, quartiles and minimum in milliseconds."""
    times = [1e3 * value for value in seconds]
    quartiles = statistics.quantiles(times, n=4) if len(times) > 1 else times * 3
    return {
        "ms": statistics.median(times),
        "ms_q1": quartiles[0],
        "ms_q3": quartiles[2],
        "ms_min": min(times),
    }
