"""TensorFlow without the messages that its C++ code writes to standard error.

Log levels do not affect them: before logging is set up, CUDA's plugins report that they are
registered twice. ZOO_DEBUG=1 lets everything through. Importing this imports no TensorFlow.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager


def debugging() -> bool:
    """Whether the user wants to see everything."""
    return os.environ.get("ZOO_DEBUG") == "1"


def prefer_quiet() -> None:
    """Ask TensorFlow for errors alone, unless the user asked for more; before it is imported."""
    if "tensorflow" not in sys.modules:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def import_tensorflow() -> None:
    """Import TensorFlow and let it look for devices, once, without noise; then it may report."""
    if "tensorflow" in sys.modules or debugging():
        return  # whoever needs it imports it
    prefer_quiet()
    with quiet_errors(), uncollected():
        import tensorflow

        tensorflow.config.list_physical_devices()


@contextmanager
def uncollected() -> Iterator[None]:
    """No search for garbage in the block: a quarter of TensorFlow's import goes to it, in vain."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


@contextmanager
def absent(packages: Iterable[str]) -> Iterator[None]:
    """What is imported in the block finds none of these packages, unless they are imported."""
    hidden = [name for name in packages if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]  # None: not to be found
    try:
        yield
    finally:
        for name in hidden:
            if sys.modules.get(name, ...) is None:
                del sys.modules[name]


@contextmanager
def quiet_errors() -> Iterator[int]:
    """Keep what C++ writes off standard error, whatever the log level.

    Gives a file descriptor that still writes there. Exceptions and Python's warnings are not
    concerned.
    """
    try:
        stderr = os.dup(2)
    except OSError:  # closed: nothing to keep quiet
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
