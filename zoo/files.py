"""Paths from the user, files that are written completely or not at all, and hashes."""

from __future__ import annotations

import csv
import ctypes
import errno
import hashlib
import io
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import psutil

from zoo.errors import FileError, ZooError, printable
from zoo.untrusted.opening import open_regular

DRAFT = re.compile(r"\..+\.\d+")  # temporary name of a file that is being written: .NAME.PROCESS


def expanded(path: str | os.PathLike[str]) -> Path:
    """Return a user's path with `~` replaced.

    Raises:
        FileError: there is no such user, or this user has no home directory.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise FileError(
            f"'{printable(str(path))}' begins with ~, but its home directory is unknown: write "
            "the whole path."
        ) from None


def existing_part(path: Path) -> Path:
    """Return `path` if it exists, or else its nearest existing parent folder."""
    path = path.absolute()
    return next(each for each in (path, *path.parents) if os.path.exists(each))


def is_writable(folder: Path) -> bool:
    """Return whether this process has the rights to create files in a folder."""
    effective = os.access in os.supports_effective_ids
    return os.access(folder, os.W_OK | os.X_OK, effective_ids=effective)


def require_writable(path: Path, error: type[ZooError] = FileError) -> None:
    """Raise `error` if a file cannot be written; leave no file and no new folder.

    Raises:
        FileError, or the class `error`: it names the file, or the folder that cannot be written.
    """
    made = _missing(path.parent)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            path.open("ab").close()
        else:
            with tempfile.TemporaryFile(dir=path.parent):
                pass
    except OSError as reason:
        named = os.path.exists(path) or reason.errno == errno.ENAMETOOLONG
        target = reason.filename if named else path.parent
        raise error(f"'{printable(str(target))}' cannot be written: {reason.strerror}.") from reason
    finally:
        _remove_empty(made)


def _missing(folder: Path) -> list[Path]:
    """Return those of `folder` and its parents that do not exist, the innermost first."""
    return [each for each in (folder, *folder.absolute().parents) if not os.path.exists(each)]


def _remove_empty(folders: Iterable[Path]) -> None:
    """Remove those folders that are empty."""
    for each in folders:
        with suppress(OSError):
            each.rmdir()


@contextmanager
def drafted(path: Path) -> Iterator[Path]:
    """Yield a temporary path to write a file to; the file replaces `path` when the block ends.

    This is for libraries that write files themselves. The temporary path has the name and suffix of
    `path`, in a folder of this process. Other files in that folder are moved first. If the block
    raises, nothing changes.
    """
    folder = draft_of(path)
    remove_drafts(path.parent, re.compile(re.escape(path.name)), ended=True)
    folder.mkdir()
    try:
        draft = folder / path.name
        yield draft
        others = [each for each in sorted(folder.iterdir()) if each != draft]
        for each in (*others, draft):
            _flush(each)
        if others:  # an interruption must not leave files of two different models
            path.unlink(missing_ok=True)
        for each in (*others, draft):
            each.replace(path.with_name(each.name))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def write_directory(directory: Path, fill: Callable[[Path], Any]) -> None:
    """Let `fill` fill a new directory, and replace `directory` with it when it is complete.

    An earlier directory is replaced completely. If `fill` raises, nothing changes. Linux exchanges
    the two in one step, so readers always find a complete directory, even if this process is
    killed.
    """
    made = _missing(directory)
    target = directory.resolve()
    draft = draft_of(target)
    old = draft.with_name(f".{target.name[:200]}-old.{os.getpid()}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        remove_drafts(target.parent, re.compile(re.escape(target.name) + "(-old)?"), ended=True)
        draft.mkdir()
        fill(draft)
        if target.is_dir() and _exchange(draft, target):
            shutil.rmtree(draft)
        elif target.is_dir():
            target.rename(old)
            draft.rename(target)
            shutil.rmtree(old)
        else:
            draft.rename(target)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        if old.is_dir() and not target.exists():
            old.rename(target)
        _remove_empty(made)
        raise


def _exchange(one: Path, other: Path) -> bool:
    """Exchange the names of two directories in one step; return False if the system cannot."""
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError, TypeError):
        return False
    here, exchange = -100, 2  # AT_FDCWD and RENAME_EXCHANGE of Linux
    return rename(here, os.fsencode(one), here, os.fsencode(other), exchange) == 0


def draft_of(path: Path) -> Path:
    """Return the temporary path of this process for `path`."""
    return path.with_name(f".{path.name[:200]}.{os.getpid()}")


def remove_drafts(folder: Path, names: re.Pattern[str], *, ended: bool = False) -> None:
    """Remove temporary files with these names that killed processes left in `folder`.

    Args:
        folder: the folder of the temporary files.
        names: matches the final names of the files.
        ended: keep files of other processes that still run on this machine. If False, the caller
            knows that no process writes there.
    """
    for draft in folder.iterdir():
        name, _, process = draft.name[1:].rpartition(".")
        if not DRAFT.fullmatch(draft.name) or not names.fullmatch(name) or draft.is_symlink():
            continue
        if ended and int(process) != os.getpid() and psutil.pid_exists(int(process)):
            continue
        if draft.is_dir():
            shutil.rmtree(draft, ignore_errors=True)
        elif draft.is_file():
            draft.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_atomically(path: Path, write: Callable[[IO[bytes]], Any]) -> None:
    """Let `write` fill a new file, and replace `path` with it when it is flushed to disk."""
    draft = draft_of(path)
    try:
        with draft.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Write indented JSON with `write_atomically`."""
    text = json.dumps(value, indent=2) + "\n"
    write_atomically(path, lambda file: file.write(text.encode()))


def write_csv(path: Path, columns: Iterable[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Write a CSV table with `write_atomically`; the first line has the names of the columns."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(columns), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_atomically(path, lambda file: file.write(text.getvalue().encode()))


def sha256(path: Path) -> str:
    """Return the SHA-256 of a regular file as hexadecimal digits.

    Raises:
        FileError: it is too large, not a regular file, or unreadable.
    """
    digest = hashlib.sha256()
    with open_regular(path) as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
