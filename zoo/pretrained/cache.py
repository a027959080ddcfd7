"""The folder of this machine's weight sets, and the hashes stored when each was first used.

    ZOO_HOME/weights/MODEL/SET.npz    the set, in this project's format (.h5 for larq-zoo's)
    ZOO_HOME/weights/MODEL/SET.json   its sha256, its source, hashes of the downloaded files
    ZOO_HOME/locks/MODEL-SET.lock     held while the set is downloaded
    ZOO_HOME/downloads/               manual downloads, imported at first use

The default of ZOO_HOME is ~/.cache/binary-zoo (or binary-zoo in XDG_CACHE_HOME).
"""

from __future__ import annotations

import contextlib
import glob
import json
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

from zoo.errors import FileError, WeightsError
from zoo.files import expanded, sha256, write_atomically
from zoo.untrusted.opening import read_text

SHIPPED = Path(__file__).with_name("shipped")
SUFFIXES = (".npz", ".h5")


@dataclass
class Pin:
    """The facts about a cached set, in the .json file beside it.

    Attributes:
        sha256: sha256 of the cached file.
        source: where the file came from.
        fetched: sha256 by address, for all files ever downloaded for this set. If an address later
            gives another file, it is refused.
        replaces: sha256 of the previous file, which may still be there after a crash.
    """

    sha256: str = ""
    source: str = ""
    fetched: dict[str, str] = field(default_factory=dict)
    replaces: str = ""


def home() -> Path:
    """Return the folder for everything that this project keeps between runs."""
    if chosen := os.environ.get("ZOO_HOME"):
        return expanded(chosen)
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return expanded(base) / "binary-zoo"


def folder(model: str) -> Path:
    """Return the folder of a model's downloaded sets."""
    return home() / "weights" / model


def shipped(model: str, name: str) -> Path | None:
    """Return the file of a set in the package: NAME.vN.npz with the highest N."""
    found = {}
    for path in (SHIPPED / model).glob(f"{glob.escape(name)}.v*.npz"):
        if (number := path.stem.removeprefix(f"{name}.v")).isdigit():
            found[int(number)] = path
    return found[max(found)] if found else None


def cached(model: str, name: str) -> Path | None:
    """Return the file of a set in the cache, without checking its content."""
    return _existing(folder(model), name)


def cached_sets() -> list[tuple[str, str]]:
    """Return (model, set) for all sets in the cache."""
    found = (home() / "weights").glob("*/*")
    return sorted(
        (path.parent.name, path.stem)
        for path in found
        if path.suffix in SUFFIXES and not path.name.startswith(".")  # a set being written
    )


def pin_of(model: str, name: str) -> Pin:
    """Return a set's stored facts; empty if there are none.

    Raises:
        WeightsError: the file cannot be read.
    """
    path = folder(model) / f"{name}.json"
    if not path.exists():
        return Pin()
    try:
        return Pin(**json.loads(read_text(path)))
    except (FileError, ValueError, TypeError, RecursionError) as error:
        raise WeightsError(f"'{path}' is damaged: delete it and download the set again.") from error


def write_pin(model: str, name: str, pin: Pin) -> None:
    """Store the facts about a set."""
    text = json.dumps(asdict(pin), indent=2) + "\n"
    write_file(folder(model) / f"{name}.json", lambda file: file.write(text.encode()))


def verified(model: str, name: str) -> Path | None:
    """Return the cached file of a set, or None.

    Raises:
        WeightsError: its sha256 differs from the stored one.
    """
    path = cached(model, name)
    if path is None:
        return None
    pin = pin_of(model, name)
    if pin.sha256 and sha256(path) not in (pin.sha256, pin.replaces):
        raise WeightsError(
            f"'{path}' was changed after it was written (its sha256 differs from the one in "
            f"{name}.json beside it): delete it and run the command again."
        )
    return path


def write_file(path: Path, write: Callable[[IO[bytes]], Any]) -> None:
    """Let `write` fill a new file, and replace `path` with it when it is safely on disk.

    Raises:
        WeightsError: the folder is not writable, or the disk is full.
    """
    with writing_to(path.parent):
        write_atomically(path, write)


@contextlib.contextmanager
def writing_to(target: Path) -> Iterator[None]:
    """Make the folder `target`; remove it again if the block fails and leaves it empty.

    Raises:
        WeightsError: instead of an OSError, if the folder is read-only or the disk is full.
    """
    new = [each for each in (target, *target.parents) if not each.exists()]
    try:
        target.mkdir(parents=True, exist_ok=True)
        yield
    except BaseException as error:
        for each in new:
            with contextlib.suppress(OSError):  # it is not empty, or was not made
                each.rmdir()
        if isinstance(error, OSError):
            reason = error.strerror or type(error).__name__
            raise WeightsError(
                f"The weights folder {target} cannot be written to: {reason}; set ZOO_HOME to a "
                "folder with room."
            ) from error
        raise


def _existing(parent: Path, name: str) -> Path | None:
    paths = (parent / f"{name}{suffix}" for suffix in SUFFIXES)
    return next((path for path in paths if path.is_file()), None)


@contextlib.contextmanager
def lock(path: Path, seconds: float = 3600.0) -> Iterator[None]:
    """Hold the lock file `path`; only one process of this machine can hold it at a time.

    Raises:
        WeightsError: another process held it for too long, or it cannot be created.
    """
    from filelock import FileLock, Timeout

    with writing_to(path.parent):
        held = FileLock(path)
        try:
            try:
                held.acquire(timeout=0.5)
            except Timeout:
                print(f"Waiting for another process that holds {path}.", file=sys.stderr)
                held.acquire(timeout=seconds)
        except Timeout:
            raise WeightsError(f"Another process has held {path} for {seconds:.0f} s.") from None
    try:
        yield
    finally:
        held.release()
