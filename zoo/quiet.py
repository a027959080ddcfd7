"""TensorFlow without the messages that its C++ code writes to standard error.

Log levels do not affect them: CUDA's plugins report that they are registered twice before logging
is set up. ZOO_DEBUG=1 shows all messages. Importing this imports no TensorFlow.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager


def debugging() -> bool:
    """Return whether the user wants to see all messages."""
    return os.environ.get("ZOO_DEBUG") == "1"


def prefer_quiet() -> None:
    """Set TensorFlow's log level to errors, unless the user set one or it is already imported."""
    if "tensorflow" not in sys.modules:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def import_tensorflow() -> None:
    """Import TensorFlow and search for devices without messages; later messages are shown."""
    if "tensorflow" in sys.modules or debugging():
        return  # it is imported already, or will be imported later with all messages
    prefer_quiet()
    with quiet_errors(), uncollected():
        import tensorflow

        tensorflow.config.list_physical_devices()


@contextmanager
def uncollected() -> Iterator[None]:
    """Switch off garbage collection: it takes a quarter of TensorFlow's import and finds little."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


@contextmanager
def absent(packages: Iterable[str]) -> Iterator[None]:
    """Hide these packages from imports in the block, unless they are already imported."""
    hidden = [name for name in packages if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]  # None makes imports fail
    try:
        yield
    finally:
        for name in hidden:
            if sys.modules.get(name, ...) is None:
                del sys.modules[name]


@contextmanager
def quiet_errors() -> Iterator[int]:
    """Discard what is written to file descriptor 2 in the block, such as messages of C++ code.

    Yield a file descriptor that still writes to standard error. Exceptions are not affected.
    """
    try:
        stderr = os.dup(2)
    except OSError:  # standard error is closed
        stderr = -1
    if stderr < 0 or debugging():
        yield 2
        return
    with open(os.devnull, "wb") as nothing:
        os.dup2(nothing.fileno(), 2)
        try:
            yield stderr
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
