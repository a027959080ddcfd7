"""Where a run computes: one device, the GPUs of one machine, or several machines together.

Several processes, *workers*, form a cluster of `tf.distribute`; the first is the chief. The chief
alone reads and writes the run's directory, and what it reads goes to the others over the network,
so that the directory need not be shared.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import re
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import numpy as np
import tensorflow as tf

from training.loop.distribution.cluster import EXAMPLE, Cluster, cluster_from_environment
from zoo.errors import InvalidValueError, RunError, UnknownNameError, WorkerLostError, ZooError
from zoo.quiet import quiet_errors

STRATEGIES = ("auto", "one_device", "mirrored", "multi_worker")
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
    _meet(cluster, minutes, until)
    try:
        with _interruptible(), quiet_errors():
            strategy = tf.distribute.MultiWorkerMirroredStrategy(resolver)
            workers = Workers(strategy, cluster, minutes)
            workers.sum(np.zeros(1))
    except tf.errors.OpError as error:
        raise _lost(cluster, minutes, error) from error
    except RuntimeError as error:
        raise RunError(
            f"The workers cannot be joined ({error}): it must be the first that a process does "
            "with TensorFlow; start one with 'lqz train'."
        ) from error
    os.environ.pop(JOIN_UNTIL, None)
    return workers


def _meet(cluster: Cluster, minutes: float, until: float) -> None:
    """Wait until every worker listens at its address, in this function or in TensorFlow already.

    TensorFlow would wait as well, but in one call, for up to an hour and deaf to all signals.

    Raises:
        RunError: they did not all come in time, or this worker's port is taken.
    """
    began, told = time.time(), False
    others = [a for i, a in enumerate(cluster.addresses) if i != cluster.index]
    with _door(cluster.addresses[cluster.index]) as door:
        while not _listens(others):
            with contextlib.suppress(BlockingIOError):
                while True:
                    door.accept()[0].close()  # who only looks whether this one is there
            if time.time() > until:
                raise RunError(
                    f"The other workers ({cluster.others}) did not all come within {minutes:g} "
                    "minutes: start each with the same command, or wait longer with "
                    "rejoin_minutes=..."
                )
            if not told and time.time() - began > 5:
                told = True
                print(f"Waiting for the other workers ({cluster.others}).", file=sys.stderr)
            time.sleep(0.2)


def _door(address: str) -> socket.socket:
    """A socket that listens where TensorFlow will."""
    both = socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if both else socket.AF_INET
    port = int(address.rpartition(":")[2])
    try:
        door = socket.create_server(("", port), family=family, dualstack_ipv6=both)
    except OSError as error:
        raise RunError(
            f"This worker cannot listen at {address} ({error.strerror}): is it running already, "
            "or is another program there?"
        ) from error
    door.setblocking(False)
    return door


def _listens(addresses: Sequence[str]) -> bool:
    """Whether workers answer at all of these."""
    try:
        for address in addresses:
            host, _, port = address.rpartition(":")
            socket.create_connection((host.strip("[]"), int(port)), timeout=1).close()
    except OSError:
        return False
    return True


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
