"""Where a run computes: one device, the GPUs of one machine, or several machines together.

Several processes, *workers*, form a cluster of `tf.distribute`; the first is the chief. The chief
alone reads and writes the run's directory, and what it reads goes to the others over the network,
so that the directory need not be shared.
"""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import tensorflow as tf

from training.terminal import quiet_errors
from zoo.errors import InvalidValueError, RunError, UnknownNameError, WorkerLostError, ZooError

STRATEGIES = ("auto", "one_device", "mirrored", "multi_worker")
EXAMPLE = (
    """TF_CONFIG='{"cluster": {"worker": ["host1:12345", "host2:12345"]}, """
    """"task": {"type": "worker", "index": 0}}'"""
)
# Until when (seconds since 1970) a worker waits for the others; kept over restarts of itself.
JOIN_UNTIL = "ZOO_JOIN_UNTIL"
# What TensorFlow raises when a peer is gone, does not answer, or is not the one it was.
PEER_ERRORS = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.DeadlineExceededError,
    tf.errors.CancelledError,
)
CHUNK = 2**24  # numbers in one exchange

T = TypeVar("T")


@dataclass(frozen=True)
class Cluster:
    """The processes of a run by address, "host:port"; this one is number `index`."""

    addresses: tuple[str, ...]
    index: int

    @property
    def others(self) -> str:
        return ", ".join(a for i, a in enumerate(self.addresses) if i != self.index)


class Workers:
    """The processes that train together, seen from one of them.

    Every method but `quiet` must be called by all of them in the same order.
    """

    def __init__(
        self, strategy: tf.distribute.Strategy, cluster: Cluster | None = None, minutes: float = 0
    ):
        self.strategy, self.cluster, self.minutes = strategy, cluster, minutes
        self.index = cluster.index if cluster else 0
        self.count = len(cluster.addresses) if cluster else 1

    @property
    def is_chief(self) -> bool:
        return self.index == 0

    def sum(self, values: np.ndarray) -> np.ndarray:
        """The sum over all workers, the same on each; int64 or float64."""
        if self.count == 1:
            return values
        with self.watching():
            return self.strategy.reduce("SUM", tf.constant(values), axis=None).numpy()

    def mean(self, values: np.ndarray, weight: float) -> np.ndarray:
        """The mean of all workers' values, each with its weight; as it is for one worker."""
        if self.count == 1:
            return values
        *sums, total = self.sum(np.array([*(values * weight), weight], np.float64))
        return np.array(sums) / max(total, 1)

    def from_chief(self, make: Callable[[], T]) -> T:
        """What `make` gives on the chief, on every worker; called there only.

        An error that the user can put right is raised on all of them.
        """
        if self.count == 1:
            return make()
        blob, error = b"", None
        if self.is_chief:
            value = None
            try:
                value = make()
            except (ZooError, OSError) as caught:
                error = caught
            # Between processes that run each other's TensorFlow graphs, pickle adds no risk.
            blob = pickle.dumps((value, None if error is None else str(error)))
        size = int(self.sum(np.array([len(blob)]))[0])
        words = np.zeros(-(-size // 8), np.int64)
        if self.is_chief:
            words = np.frombuffer(blob.ljust(8 * words.size, b"\0"), np.int64)
        # The others add zeros: integers, as -0.0 would not survive.
        parts = [self.sum(words[i : i + CHUNK]) for i in range(0, words.size, CHUNK)]
        value, text = pickle.loads(np.concatenate(parts).tobytes()[:size])
        if text is not None:
            raise error or RunError(text)
        return value

    def check_same(self, settings: dict[str, Any]) -> None:
        """Raise RunError on all workers unless all have the same settings."""
        theirs = self.from_chief(lambda: settings)
        keys = sorted(k for k in {*theirs, *settings} if theirs.get(k) != settings.get(k))
        if not self.sum(np.array([len(keys)]))[0]:
            return
        found = "; ".join(f"{k}: {settings.get(k)!r} here, {theirs.get(k)!r} there" for k in keys)
        raise RunError(
            f"The workers' settings are not the chief's{f' ({found})' if found else ''}: start all "
            "with the same command."
        )

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Turn TensorFlow's errors about other workers into WorkerLostError."""
        try:
            yield
        except PEER_ERRORS as error:
            if self.cluster is None:
                raise
            raise _lost(self.cluster, self.minutes, error) from error

    @contextlib.contextmanager
    def quiet(self) -> Iterator[None]:
        """Let only the chief print."""
        if self.is_chief:
            yield
            return
        with open(os.devnull, "w") as nothing, contextlib.redirect_stdout(nothing):
            yield


def check_batch_size(batch_size: int, replicas: int) -> None:
    """Raise InvalidValueError unless every replica gets as many images of a batch."""
    if batch_size % replicas:
        near = max(replicas, round(batch_size / replicas) * replicas)
        raise InvalidValueError(
            f"batch_size={batch_size} cannot be shared equally by {replicas} devices: give a "
            f"multiple, such as {near}."
        )


def alone() -> Workers:
    """One worker, which computes where TensorFlow does by itself."""
    return Workers(tf.distribute.get_strategy())


def connect(name: str, minutes: float = 10) -> Workers:
    """The workers of a run, this process being one; blocks until all are there.

    Args:
        name: "one_device"; "mirrored", on all GPUs of this machine (without GPUs, on TensorFlow's
            logical CPU devices); "multi_worker", with the processes that TF_CONFIG or Slurm names;
            "auto", the last of these for which there is more than one.
        minutes: to wait for the other workers, now and whenever one is lost.

    Raises:
        UnknownNameError: no such strategy.
        InvalidValueError: TF_CONFIG is malformed or missing.
        WorkerLostError: the others are there but cannot be joined now, see `rejoin`.
    """
    if name not in STRATEGIES:
        raise UnknownNameError("strategy", name, STRATEGIES)
    cluster = cluster_from_environment() if name in ("auto", "multi_worker") else None
    if cluster is None and name == "multi_worker":
        raise InvalidValueError(
            f"strategy=multi_worker needs the addresses of all workers: set {EXAMPLE} on each "
            "(index 0, 1, ...), or start them with Slurm's srun."
        )
    if cluster and len(cluster.addresses) > 1:
        return _join(cluster, minutes)
    gpus = tf.config.list_physical_devices("GPU")
    if name == "mirrored" or (name != "one_device" and len(gpus) > 1):
        return Workers(tf.distribute.MirroredStrategy())
    return alone()


# --- who is there ---------------------------------------------------------------------------------


def cluster_from_environment() -> Cluster | None:
    """What TF_CONFIG says, else Slurm's job step; None without either.

    Raises InvalidValueError for a TF_CONFIG that is malformed.
    """
    text = os.environ.get("TF_CONFIG", "").strip()
    if text and text != "{}":
        return _from_tf_config(text)
    if int(os.environ.get("SLURM_STEP_NUM_TASKS", "1")) > 1:
        return _from_slurm()
    return None


def _from_tf_config(text: str) -> Cluster:
    problem = "it must be JSON such as " + EXAMPLE
    try:
        config = json.loads(text)
        jobs, task = config["cluster"], config["task"]
        kind, index = task["type"], int(task["index"])
        addresses = [*jobs.get("chief", []), *jobs.get("worker", [])]
        if others := sorted({*jobs} - {"chief", "worker"}):
            problem = f"its tasks must be of type chief or worker, not {', '.join(others)}"
            raise ValueError
        bad = [a for a in addresses if not re.fullmatch(r"(\S+):(\d+)", str(a))]
        if bad or len({*addresses}) < len(addresses):
            shown = ", ".join(map(str, bad or addresses))
            problem = f"addresses must be host:port, each once, not {shown}"
            raise ValueError
        if kind not in jobs or not 0 <= index < len(jobs[kind]):
            problem = f"task {kind} {index} is not in its cluster"
            raise ValueError
    except (ValueError, TypeError, KeyError, AttributeError):
        raise InvalidValueError(f"TF_CONFIG is wrong: {problem}.") from None
    first = len(jobs.get("chief", [])) if kind == "worker" else 0
    return Cluster(tuple(addresses), first + index)


def _from_slurm() -> Cluster:
    # Below the ports that systems give out by themselves, and different for jobs that share a node.
    port = 12000 + int(os.environ.get("SLURM_JOB_ID", "0")) % 20000
    try:
        # Which GPUs a task sees is Slurm's to say (--gpus-per-task): one placeholder each.
        tasks = int(os.environ["SLURM_STEP_NUM_TASKS"])
        resolver = tf.distribute.cluster_resolver.SlurmClusterResolver(
            port_base=port, gpus_per_node=tasks, gpus_per_task=1, auto_set_gpu=False
        )
        addresses = resolver.cluster_spec().job_tasks("worker")
        return Cluster(tuple(addresses), int(resolver.task_id))
    except (RuntimeError, ValueError, KeyError, TypeError) as error:
        raise InvalidValueError(
            f"Slurm's variables do not describe the job step ({error}): start the workers with "
            "srun, or set TF_CONFIG."
        ) from error


# --- coming together ------------------------------------------------------------------------------


def _join(cluster: Cluster, minutes: float) -> Workers:
    until = float(os.environ.setdefault(JOIN_UNTIL, str(time.time() + 60 * minutes)))
    resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
        tf.train.ClusterSpec({"worker": list(cluster.addresses)}),
        task_type="worker",
        task_id=cluster.index,
        num_accelerators={"GPU": len(tf.config.list_physical_devices("GPU"))},
        rpc_layer="grpc",
    )
    waiting = f"Waiting for the other workers ({cluster.others}).\n"
    timers: list[threading.Timer] = []
    try:
        with _interruptible(), quiet_errors() as stderr:
            timers += [
                threading.Timer(5, os.write, [stderr, waiting.encode()]),
                threading.Timer(max(until - time.time(), 1), _give_up, [cluster, minutes, stderr]),
            ]
            for timer in timers:
                timer.daemon = True
                timer.start()
            strategy = tf.distribute.MultiWorkerMirroredStrategy(resolver)
            workers = Workers(strategy, cluster, minutes)
            workers.sum(np.zeros(1))
            for timer in timers:
                timer.cancel()
    except tf.errors.OpError as error:
        raise _lost(cluster, minutes, error) from error
    except RuntimeError as error:
        raise RunError(
            f"The workers cannot be joined ({error}): it must be the first that a process does "
            "with TensorFlow; start one with 'lqz train'."
        ) from error
    finally:
        for timer in timers:
            timer.cancel()
    os.environ.pop(JOIN_UNTIL, None)
    return workers


def rejoin(minutes: float) -> None:
    """Start this process's command anew, to join the others again; returns if it is too late.

    TensorFlow cannot leave a cluster within a process.
    """
    until = float(os.environ.setdefault(JOIN_UNTIL, str(time.time() + 60 * minutes)))
    if time.time() >= until:
        return
    time.sleep(1)  # where joining fails at once, again and again
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """Let Ctrl-C end the process at once: Python's own handler waits until TensorFlow returns."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _lost(cluster: Cluster, minutes: float, error: tf.errors.OpError) -> WorkerLostError:
    named = {int(n) for n in re.findall(r"task:(\d+)", error.message)} - {cluster.index}
    who = "another worker"
    if len(named) == 1 and max(named) < len(cluster.addresses):
        who = f"worker {max(named)} ({cluster.addresses[max(named)]})"
    within = f" within {minutes:g} minutes" if minutes else ""
    return WorkerLostError(
        f"Lost {who}: start it again with the same command{within}, and the run continues from its "
        "last checkpoint.",
        minutes,
    )


def _give_up(cluster: Cluster, minutes: float, stderr: int) -> None:
    text = (
        f"Error: The other workers ({cluster.others}) did not all come within {minutes:g} minutes: "
        "start each with the same command, or wait longer with rejoin_minutes=...\n"
    )
    os.write(stderr, text.encode())
    os._exit(2)  # TensorFlow is waiting in the main thread
