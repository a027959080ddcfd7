"""A tf.data service for `data_service=`: `python -m training.data.service HOST:PORT`.

HOST is the name or address under which the training processes reach this machine. This machine must
find the data set's files under the same paths as the training processes. On Linux the service
answers only connections to that address and to this machine's loopback addresses.
"""

from __future__ import annotations

import os
import re
import sys
from typing import Any

from training.data.addresses import answer_only_at, local_addresses, speaks_grpc
from zoo.errors import InvalidValueError, printable

LOOPBACK = ("127.0.0.1", "::1")  # where the worker and the dispatcher reach each other


def start(host: str, port: int) -> tuple[Any, Any]:
    """Start a dispatcher on `port` (0: any free one) and its only worker.

    They run as long as the returned objects are referenced. The address for training is
    `"grpc://host:port"` with the port of `dispatcher.target`.
    """
    import tensorflow as tf

    service = tf.data.experimental.service
    dispatcher = service.DispatchServer(service.DispatcherConfig(port=port))
    local = dispatcher.target.partition("://")[2]
    worker = service.WorkerServer(
        service.WorkerConfig(dispatcher_address=local, worker_address=f"{host}:%port%")
    )
    if own := local_addresses(host):
        answer_only_at([*own, *LOOPBACK])
    return dispatcher, worker


def split(address: str) -> tuple[str, int] | None:
    """Return host and port of "grpc://host:port"; None if `address` does not have this form."""
    match = re.fullmatch(r"grpc://([^\s/]+):(\d{1,5})", address)
    if not match or not 0 < int(match[2]) < 2**16:
        return None
    return match[1].strip("[]"), int(match[2])


def answers(address: str) -> bool:
    """Return whether a gRPC server, such as a data service, answers there."""
    found = split(address)
    return found is not None and speaks_grpc(*found) is None


def reachable(address: str) -> str:
    """Return `address` if a data service answers there; else raise InvalidValueError."""
    found = split(address)
    if found is None:
        raise InvalidValueError(
            f"data_service='{printable(address)}' must be the address of a dispatcher, "
            "grpc://host:port."
        )
    if problem := speaks_grpc(*found):
        raise InvalidValueError(
            f"No data service answers at {address} ({problem}): start one there, or leave out "
            "data_service."
        )
    return address


def main(args: list[str]) -> int:
    """Serve until stopped; return exit code 2 for wrong arguments."""
    match = re.fullmatch(r"(\S+):(\d{1,5})", args[0]) if len(args) == 1 else None
    if not match or int(match[2]) >= 2**16:
        print("Usage: python -m training.data.service HOST:PORT", file=sys.stderr)
        return 2
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        dispatcher, _worker = start(match[1].strip("[]"), int(match[2]))
    except Exception as error:  # TensorFlow raises various errors if the port is taken
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        print(f"Error: a data service cannot start at {args[0]} ({reason}).", file=sys.stderr)
        return 2
    port = dispatcher.target.rpartition(":")[2]
    print(f"Train with data_service=grpc://{match[1]}:{port}", flush=True)
    dispatcher.join()
    return 0


if __name__ == "__main__":
    import signal

    # TensorFlow waits in C++, so Python's handler of Ctrl-C would never run.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    sys.exit(main(sys.argv[1:]))
