"""Open only regular files, and compare their size with the free memory."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO

import psutil

from zoo.errors import FileError, printable

MOST_BYTES = 4 * 2**30  # maximum size of a file, packed or unpacked; all our weights are smaller
MOST_TEXT = 64 * 2**20  # maximum size of a JSON file
CGROUP = Path("/sys/fs/cgroup")

_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def open_regular(path: str | Path, most_bytes: int = MOST_BYTES) -> BinaryIO:
    """Open a regular file for reading; never wait for another process.

    Args:
        path: the file; links are followed.
        most_bytes: maximum size of the file.

    Raises:
        FileError: there is no such file; it is a pipe, a device or a folder; it is too large; or it
            cannot be read.
    """
    shown = printable(str(path))
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        # Opening a device can already have an effect: check before and after opening.
        _require_regular(os.stat(path).st_mode, shown)
        file = os.fdopen(os.open(path, flags), "rb")
    except (OSError, ValueError) as error:  # ValueError: a path with a NUL
        reason = getattr(error, "strerror", None) or "its name is not a path"
        raise FileError(f"'{shown}' cannot be read: {reason}.") from error
    try:
        found = os.fstat(file.fileno())
        _require_regular(found.st_mode, shown)
        if found.st_size > most_bytes:
            raise FileError(
                f"'{shown}' has {found.st_size:,} bytes, more than the {most_bytes:,} allowed here."
            )
    except BaseException:
        file.close()
        raise
    return file


def _require_regular(mode: int, shown: str) -> None:
    if not stat.S_ISREG(mode):
        kind = _KINDS.get(stat.S_IFMT(mode), "something else")
        raise FileError(f"'{shown}' is {kind}, not a regular file.")


def read_bytes(path: str | Path, most_bytes: int = MOST_BYTES) -> bytes:
    """Return a regular file's bytes. Raises FileError as `open_regular`, or if memory is short."""
    with open_regular(path, most_bytes) as file:
        size = os.fstat(file.fileno()).st_size
        require_memory(size, path)
        content = file.read(size + 1)
    if len(content) > size:
        raise FileError(f"'{printable(str(path))}' grew while it was read.")
    return content


def read_text(path: str | Path, most_bytes: int = MOST_TEXT) -> str:
    """Return the text of a regular UTF-8 file.

    Raises:
        FileError: as `read_bytes`.
        UnicodeDecodeError: it is not UTF-8. This is a ValueError, like the errors of JSON parsers.
    """
    return read_bytes(path, most_bytes).decode("utf-8")


def available_memory() -> int:
    """Return the bytes that this process can still allocate on this machine, in its container."""
    free = psutil.virtual_memory().available
    try:
        most = int((CGROUP / "memory.max").read_text())
        free = min(free, max(most - int((CGROUP / "memory.current").read_text()), 0))
    except (OSError, ValueError):  # no cgroup version 2, or no limit ("max")
        pass
    return free


def require_memory(needed: int, path: str | Path, most_bytes: int = MOST_BYTES) -> None:
    """Raise FileError if `needed` bytes exceed half of the free memory, or `most_bytes`."""
    if needed > most_bytes:
        raise FileError(
            f"'{printable(str(path))}' unpacks to {needed:,} bytes, more than the {most_bytes:,} "
            "allowed here."
        )
    free = available_memory()
    if 2 * needed > free:
        raise FileError(
            f"'{printable(str(path))}' needs {needed:,} bytes of memory; the limit is half of "
            f"the {free:,} that are free."
        )


def unsafe(path: str | Path, why: str) -> FileError:
    """Return the error that says why a file is refused."""
    return FileError(f"'{printable(str(path))}' is unsafe: {why}.")
