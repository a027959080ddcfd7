"""Workers find each other before TensorFlow joins them.

TensorFlow can also wait for workers, but in one call of up to an hour that ignores all signals and
accepts any server at an address. Here each worker listens at its own address and connects to the
others. The client sends "lqz NUMBER NONCE" and the server answers "lqz NUMBER". A worker in which
TensorFlow has already started answers as gRPC does.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import sys
import time
import uuid

from training.data.addresses import local_addresses, speaks_grpc
from training.loop.distribution.cluster import Cluster
from zoo.errors import RunError

# When a worker stops waiting for the others, in monotonic time; kept over restarts.
JOIN_UNTIL = "ZOO_JOIN_UNTIL"
MOST_REFUSED = 5  # rounds in which another worker has meanwhile met this one as another process
PATIENCE = 1.0  # seconds for an answer
GREETING = re.compile(rb"lqz (\d+)(?: ([0-9a-f]+))?\n")
TWICE = b"lqz twice\n"


def join_until(minutes: float) -> float:
    """Return when to stop waiting, in `time.monotonic`; decided once, when this command started."""
    now = time.monotonic()
    try:
        return float(os.environ[JOIN_UNTIL])
    except (KeyError, ValueError):
        os.environ[JOIN_UNTIL] = str(now + 60 * minutes)
        return now + 60 * minutes


def meet(cluster: Cluster, minutes: float, until: float) -> None:
    """Wait until every worker answers at its address, by this protocol or by TensorFlow's gRPC.

    Args:
        cluster: all workers.
        minutes: the time limit, for the error message.
        until: when to give up, in `time.monotonic`.

    Raises:
        RunError: not all workers came in time, this worker's port is taken, something else answers
            at one of the addresses, or two processes are the same worker.
    """
    began, told, refused, nonce = time.monotonic(), False, 0, uuid.uuid4().hex
    others = {i: a for i, a in enumerate(cluster.addresses) if i != cluster.index}
    with Door(cluster, nonce) as door:
        while True:
            door.answer()
            found = {a: _visit(a, i, cluster.index, nonce) for i, a in others.items()}
            door.answer()
            missing = [address for address, answer in found.items() if answer != "here"]
            refused = refused + 1 if "twice" in found.values() else 0
            if refused > MOST_REFUSED:
                raise _twice(cluster.index)
            if not missing:
                return
            if time.monotonic() > until:
                raise RunError(
                    f"The other workers ({', '.join(missing)}) did not connect within "
                    f"{minutes:g} minutes: start each with the same command, or wait longer with "
                    "rejoin_minutes=..."
                )
            if not told and time.monotonic() - began > 5:
                told = True
                print(f"Waiting for the other workers ({', '.join(missing)}).", file=sys.stderr)
            time.sleep(0.2)


class Door:
    """Listen on the port that TensorFlow will use.

    If this worker's address is an address of this machine, listen at it only.
    """

    def __init__(self, cluster: Cluster, nonce: str):
        self.index, self._nonces = cluster.index, {cluster.index: nonce}
        address = cluster.addresses[cluster.index]
        host, _, port = address.rpartition(":")
        own = local_addresses(host)
        both = socket.has_dualstack_ipv6()
        try:
            if own:
                family = socket.AF_INET6 if ":" in own[0] else socket.AF_INET
                self._socket = socket.create_server((own[0], int(port)), family=family)
            else:  # a name that a cluster manager forwards to this machine
                family = socket.AF_INET6 if both else socket.AF_INET
                self._socket = socket.create_server(
                    ("", int(port)), family=family, dualstack_ipv6=both
                )
        except (OSError, OverflowError) as error:
            raise RunError(
                f"This worker cannot listen at {address} "
                f"({getattr(error, 'strerror', None) or error}): another worker or program may "
                "already use it."
            ) from error
        self._socket.setblocking(False)

    def __enter__(self) -> Door:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def answer(self) -> None:
        """Answer all waiting connections. Raises RunError if two processes are the same worker."""
        while True:
            try:
                visitor = self._socket.accept()[0]
            except (BlockingIOError, ConnectionError):
                return
            with visitor:
                visitor.settimeout(PATIENCE)
                with contextlib.suppress(OSError):
                    found = GREETING.fullmatch(visitor.recv(64))
                    if not found or found[2] is None:
                        continue
                    index, nonce = int(found[1]), found[2].decode()
                    if self._nonces.setdefault(index, nonce) != nonce:
                        visitor.sendall(TWICE)
                        if index == self.index:
                            raise _twice(index)
                        self._nonces[index] = nonce  # restarted, or a second process
                        continue
                    visitor.sendall(f"lqz {self.index}\n".encode())


def _visit(address: str, index: int, own: int, nonce: str) -> str:
    """Return whether worker `index` is at an address: "here", "absent" or "twice".

    "twice" means that it has meanwhile met another process with this worker's index.

    Raises:
        RunError: something else answers there.
    """
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    try:
        with socket.create_connection((host, int(port)), timeout=PATIENCE) as connection:
            connection.sendall(f"lqz {own} {nonce}\n".encode())
            answer = connection.recv(64)
    except (OSError, UnicodeError, OverflowError):
        answer = b""
    if answer == TWICE:
        return "twice"
    found = GREETING.fullmatch(answer)
    if found and int(found[1]) == index:
        return "here"
    if not found and speaks_grpc(host, int(port), PATIENCE) is None:
        return "here"
    if not answer:
        return "absent"
    what = f"worker {int(found[1])}" if found else "another kind of server"
    raise RunError(
        f"At {address}, where worker {index} should be, {what} answers: stop it, or "
        "give all workers the same addresses."
    )


def _twice(index: int) -> RunError:
    return RunError(f"Two processes are worker {index}: give each process a different index.")
