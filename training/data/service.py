"""A tf.data service for `data_service=`: `python -m training.data.service HOST:PORT`.

HOST is the name or address under which the training processes reach this machine. It must find the
data set's files under the same paths as they do.
"""

from __future__ import annotations

import os
import re
import socket
import sys
from typing import Any

from zoo.errors import InvalidValueError


def start(host: str, port: int) -> tuple[Any, Any]:
    """A dispatcher on `port` (0: any free one) and its one worker, as long as they are referenced.

    `"grpc://host:port"` with `dispatcher.target`'s port is the address to train with.
    """
    import tensorflow as tf

    service = tf.data.experimental.service
    dispatcher = service.DispatchServer(service.DispatcherConfig(port=port))
    local = dispatcher.target.partition("://")[2]
    worker = service.WorkerServer(
        service.WorkerConfig(dispatcher_address=local, worker_address=f"{host}:%port%")
    )
    return dispatcher, worker


def reachable(address: str) -> str:
    """`address`, where a data service answers; raises InvalidValueError elsewhere."""
    match = re.fullmatch(r"grpc://([^\s/]+):(\d{1,5})", address)
    if not match:
        raise InvalidValueError(
            f"data_service='{address}' must be the address of a dispatcher, grpc://host:port."
        )
    try:
        socket.create_connection((match[1], int(match[2])), timeout=5).close()
    except (OSError, OverflowError) as error:
        raise InvalidValueError(
            f"No data service answers at {address} ({error}): start one there, or leave out "
            "data_service."
        ) from error
    return address


def main(args: list[str]) -> int:
    """Serve until stopped; exit code 2 for arguments that make no sense."""
    match = re.fullmatch(r"(\S+):(\d{1,5})", args[0]) if len(args) == 1 else None
    if not match:
        print("Usage: python -m training.data.service HOST:PORT", file=sys.stderr)
        return 2
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    dispatcher, _worker = start(match[1], int(match[2]))
    port = dispatcher.target.rpartition(":")[2]
    print(f"Train with data_service=grpc://{match[1]}:{port}", flush=True)
    dispatcher.join()
    return 0


if __name__ == "__main__":
    import signal

    # TensorFlow waits in C++, where Python's handler of Ctrl-C never runs.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    sys.exit(main(sys.argv[1:]))
