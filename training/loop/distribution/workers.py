"""The devices of a run: one device, the GPUs of one machine, or several machines.

Several processes, *workers*, form a cluster of `tf.distribute`; the first is the chief. Only the
chief reads and writes the run's directory. It sends what it reads to the others over the network,
so the directory need not be shared.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import numpy as np
import tensorflow as tf

from training.data.addresses import answer_only_at, local_addresses
from training.data.encoded import said
from training.loop.distribution.cluster import EXAMPLE, Cluster, cluster_from_environment
from training.loop.distribution.meeting import JOIN_UNTIL, join_until, meet
from zoo.errors import InvalidValueError, RunError, WorkerLostError, ZooError
from zoo.quiet import quiet_errors

# TensorFlow's errors if a peer has ended, does not answer, or was restarted.
PEER_ERRORS = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.DeadlineExceededError,
    tf.errors.CancelledError,
)
SILENCE_ERRORS = (tf.errors.FailedPreconditionError, tf.errors.InternalError)
FILE = re.compile(r"/[^;]*; ")  # start of TensorFlow's errors about a file
JOINING = 120  # seconds for TensorFlow to join workers that have all answered
CHUNK = 2**24  # numbers in one exchange

T = TypeVar("T")


class Workers:
    """The processes that train together, seen from one of them.

    All workers must call every method except `quiet`, in the same order.
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
        """Return the sum over all workers, the same on each; int64 or float64."""
        if self.count == 1:
            return values
        with self.watching():
            return self.strategy.reduce("SUM", tf.constant(values), axis=None).numpy()

    def mean(self, values: np.ndarray, weight: float) -> np.ndarray:
        """Return the weighted mean of all workers' values; a single worker's values unchanged."""
        if self.count == 1:
            return values
        *sums, total = self.sum(np.array([*(values * weight), weight], np.float64))
        return np.array(sums) / max(total, 1)

    def from_chief(self, make: Callable[[], T]) -> T:
        """Call `make` on the chief only; return its result on every worker.

        A ZooError of the chief is raised on all workers.
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
            # These processes already run each other's TensorFlow graphs, so pickle adds no risk.
            blob = pickle.dumps((value, None if error is None else str(error)))
        size = int(self.sum(np.array([len(blob)]))[0])
        words = np.zeros(-(-size // 8), np.int64)
        if self.is_chief:
            words = np.frombuffer(blob.ljust(8 * words.size, b"\0"), np.int64)
        # The others add zeros. We sum integers, because as floats -0.0 + 0.0 would become 0.0.
        parts = [self.sum(words[i : i + CHUNK]) for i in range(0, words.size, CHUNK)]
        value, text = pickle.loads(np.concatenate(parts).tobytes()[:size])
        if text is not None:
            raise error or RunError(text)
        return value

    def check_same(self, settings: dict[str, Any]) -> None:
        """Raise RunError on all workers if their settings differ."""
        theirs = self.from_chief(lambda: settings)
        keys = sorted(k for k in {*theirs, *settings} if theirs.get(k) != settings.get(k))
        if not self.sum(np.array([len(keys)]))[0]:
            return
        found = "; ".join(f"{k}: {settings.get(k)!r} here, {theirs.get(k)!r} there" for k in keys)
        raise RunError(
            f"The workers' settings differ from the chief's{f' ({found})' if found else ''}: "
            "start all with the same command."
        )

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Turn TensorFlow's errors about other workers into WorkerLostError."""
        try:
            yield
        except tf.errors.OpError as error:
            # A silent peer and a missing file cause the same errors, but the second names a file.
            broken = isinstance(error, SILENCE_ERRORS) and not FILE.match(said(error))
            if self.cluster is None or not (broken or isinstance(error, PEER_ERRORS)):
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
    """Raise InvalidValueError unless `replicas` divides the batch."""
    if batch_size % replicas:
        near = max(replicas, round(batch_size / replicas) * replicas)
        raise InvalidValueError(
            f"A batch of {batch_size} cannot be split equally over {replicas} devices: give a "
            f"multiple, such as batch_size={near}."
        )


def alone() -> Workers:
    """Return a single worker, on TensorFlow's default device."""
    return Workers(tf.distribute.get_strategy())


def connect(name: str, minutes: float = 10) -> Workers:
    """Return the workers of a run, including this process; blocks until all have joined.

    Args:
        name: "one_device"; "mirrored", on all GPUs of this machine (without GPUs, on TensorFlow's
            logical CPU devices); "multi_worker", with the processes that TF_CONFIG or Slurm names;
            "auto", multi_worker if there are several processes, else mirrored if there are
            several GPUs, else one_device.
        minutes: how long to wait for the other workers, now and whenever one is lost.

    Raises:
        InvalidValueError: TF_CONFIG is malformed or missing.
        WorkerLostError: the others answered but cannot be joined now, see `rejoin`.
    """
    cluster = _cluster_of(name)
    if cluster and len(cluster.addresses) > 1:
        return _join(cluster, minutes)
    gpus = tf.config.list_physical_devices("GPU")
    if name == "mirrored" or (name != "one_device" and len(gpus) > 1):
        return Workers(tf.distribute.MirroredStrategy())
    return alone()


def devices_of(name: str) -> int:
    """Return how many devices would share a batch, see `connect`; connects to no other worker.

    Raises:
        InvalidValueError: TF_CONFIG is malformed or missing.
    """
    cluster = _cluster_of(name)
    gpus = len(tf.config.list_physical_devices("GPU"))
    if cluster and len(cluster.addresses) > 1:
        return len(cluster.addresses) * max(gpus, 1)
    if name == "mirrored" and not gpus:
        return len(tf.config.list_logical_devices("CPU"))
    return 1 if name == "one_device" else max(gpus, 1)


def _cluster_of(name: str) -> Cluster | None:
    """Return the processes that train together with the strategy of this name."""
    cluster = cluster_from_environment() if name in ("auto", "multi_worker") else None
    if cluster is None and name == "multi_worker":
        raise InvalidValueError(
            f"strategy=multi_worker needs the addresses of all workers: set {EXAMPLE} on each "
            "(index 0, 1, ...), or start them with Slurm's srun."
        )
    return cluster


# --- joining the workers --------------------------------------------------------------------------


def _join(cluster: Cluster, minutes: float) -> Workers:
    until = join_until(minutes)
    resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
        tf.train.ClusterSpec({"worker": list(cluster.addresses)}),
        task_type="worker",
        task_id=cluster.index,
        num_accelerators={"GPU": len(tf.config.list_physical_devices("GPU"))},
        rpc_layer="grpc",
    )
    meet(cluster, minutes, until)
    try:
        with _interruptible(), _ending_at(cluster, minutes, until + JOINING), quiet_errors():
            strategy = tf.distribute.MultiWorkerMirroredStrategy(resolver)
            workers = Workers(strategy, cluster, minutes)
            workers.sum(np.zeros(1))
    except tf.errors.OpError as error:
        raise _lost(cluster, minutes, error) from error
    except RuntimeError as error:
        raise RunError(
            f"The workers cannot be joined ({error}): TensorFlow was already used in this process; "
            "start a new one with 'lqz train'."
        ) from error
    os.environ.pop(JOIN_UNTIL, None)
    host, _, port = cluster.addresses[cluster.index].rpartition(":")
    if own := local_addresses(host):
        answer_only_at(own, [int(port)])
    return workers


def rejoin(minutes: float) -> None:
    """Restart this process's command to join the others again; returns if the time is over.

    TensorFlow cannot leave a cluster within a process.
    """
    if time.monotonic() >= join_until(minutes):
        return
    time.sleep(1)  # avoid a busy loop if joining fails at once every time
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


@contextlib.contextmanager
def _ending_at(cluster: Cluster, minutes: float, until: float) -> Iterator[None]:
    """End the process, with a sentence and exit code 2, if the block runs longer than `until`.

    If a worker has ended since `meet`, TensorFlow waits for it in C++ for up to an hour.
    """

    def end() -> None:
        os.write(2, f"Error: {_lost(cluster, minutes, None)}\n".encode())
        os._exit(2)

    timer = threading.Timer(max(until - time.monotonic(), 1), end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """Let Ctrl-C end the process at once: Python's handler would wait until TensorFlow returns."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _lost(cluster: Cluster, minutes: float, error: tf.errors.OpError | None) -> WorkerLostError:
    text = "" if error is None else error.message
    named = {int(n) for n in re.findall(r"task:(\d+)", text)} - {cluster.index}
    who = "another worker"
    if len(named) == 1 and max(named) < len(cluster.addresses):
        who = f"worker {max(named)} ({cluster.addresses[max(named)]})"
    within = f" within {minutes:g} minutes" if minutes else ""
    return WorkerLostError(
        f"Lost {who}: start it again with the same command{within}, and the run continues from its "
        "last checkpoint.",
        minutes,
    )
