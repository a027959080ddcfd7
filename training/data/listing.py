"""List the images of a folder of class folders, and the reason for each file that is not used."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from zoo.errors import DatasetError
from zoo.images import SUFFIXES
from zoo.untrusted.images import MOST_FILE

FLAT_SUFFIXES = (".jpg", ".jpeg", ".png")  # the formats that older runs read
MOST_NAMED = 5
EMPTY = "an empty folder"


@dataclass
class Listing:
    """The files of a folder.

    Attributes:
        by_class: the image files by class, in the order of their paths; a class may be empty.
        left_out: files that are not used, by reason.
    """

    by_class: dict[str, list[Path]] = field(default_factory=dict)
    left_out: dict[str, list[Path]] = field(default_factory=dict)

    @property
    def images(self) -> dict[str, list[Path]]:
        """Return the classes that have images."""
        return {name: files for name, files in self.by_class.items() if files}

    def leave_out(self, path: Path, reason: str) -> None:
        """Record that a file is not used."""
        self.left_out.setdefault(reason, []).append(path)


def list_images(folder: Path, skip: tuple[str, ...] = ()) -> Listing:
    """List every file below `folder`. Its subfolders are classes; images may be at any depth.

    Args:
        skip: subfolders that are not classes.

    Raises:
        DatasetError: a class folder's name is not UTF-8.
    """
    listing = Listing()
    for entry in sorted(folder.iterdir()):
        if entry.name in skip:
            continue
        if not entry.is_dir():
            listing.leave_out(entry, _why_not(entry) or "in no class folder")
        elif entry.name.startswith("."):
            listing.leave_out(entry, "hidden")
        elif not _is_text(entry.name):
            raise DatasetError(
                f"The class folder '{printable(entry)}' has a name that is not valid UTF-8: rename "
                "it, or use a locale with UTF-8."
            )
        else:
            found = listing.by_class[entry.name] = []
            above = {os.path.realpath(folder), os.path.realpath(entry)}
            for path in _files(entry, above, listing):
                try:
                    reason = _why_not(path)
                except OSError as error:  # a loop of links, or a lost network drive
                    reason = str(error.strerror)
                if reason:
                    listing.leave_out(path, reason)
                else:
                    found.append(path)
    return listing


def flat_images(folder: Path) -> Listing:
    """List images as older runs did: only .jpg, .jpeg and .png directly in the class folders."""
    listing = Listing()
    for entry in sorted(folder.iterdir()):
        if entry.is_dir() and not entry.name.startswith("."):
            files = [f for f in sorted(entry.iterdir()) if f.suffix.lower() in FLAT_SUFFIXES]
            listing.by_class[entry.name] = [f for f in files if not f.name.startswith(".")]
    return Listing(listing.images)


def split_by_index(
    by_class: dict[str, list[Path]], share: float, seed: int
) -> tuple[dict[str, list[Path]], dict[str, list[Path]]]:
    """Split into training and validation images: the same share of each class, drawn by `seed`.

    A class with two or more images has at least one on each side; a single image is for training.
    """
    train, validation = {}, {}
    for number, (name, files) in enumerate(sorted(by_class.items())):
        count = min(max(int(share * len(files) + 0.5), 1), len(files) - 1)
        draws = np.random.Generator(np.random.Philox([seed, number]))
        held_out = set(draws.permutation(len(files))[:count].tolist())
        train[name] = [f for i, f in enumerate(files) if i not in held_out]
        validation[name] = [f for i, f in enumerate(files) if i in held_out]
    return train, validation


def remarks(left_out: dict[str, list[Path]], root: Path) -> list[str]:
    """Return a sentence for each reason why files are not used."""
    found = []
    for reason, paths in left_out.items():
        names = [printable(path.relative_to(root)) for path in paths]
        found.append(f"Not used ({reason}): {shortened(names)}.")
    return found


def in_order(names: list[str]) -> list[str]:
    """Return class names in the order of their labels: 2 before 10 if all are numbers."""
    if all(name.isascii() and name.isdigit() for name in names):
        return sorted(names, key=lambda name: (int(name), name))
    return sorted(names)


def shortened(names: list[str]) -> str:
    """Return some of the names, and the number of the others, as text."""
    more = len(names) - MOST_NAMED
    return ", ".join(names[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def printable(path: Path) -> str:
    """Return a path as printable text, even if its bytes are not valid text."""
    return os.fspath(path).encode(errors="surrogateescape").decode(errors="replace")


def _files(folder: Path, above: set[str], listing: Listing) -> Iterator[Path]:
    """Yield the files below a folder in the order of their paths; follow links, without loops."""
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        listing.leave_out(folder, str(error.strerror))
        return
    if not entries:
        listing.leave_out(folder, EMPTY)
    for entry in entries:
        if not entry.is_dir():
            yield entry
            continue
        real = os.path.realpath(entry)
        if entry.name.startswith("."):
            listing.leave_out(entry, "hidden")
        elif real in above:
            listing.leave_out(entry, "a link to a folder above it")
        else:
            yield from _files(entry, above | {real}, listing)


def _why_not(path: Path) -> str | None:
    """Return why a path below a class folder is not a usable image; None if it is usable."""
    if not _is_text(os.fspath(path)):
        return "a name that is not UTF-8"
    if path.name.startswith(".") or path.name.lower() in ("thumbs.db", "desktop.ini"):
        return "hidden"
    if path.is_symlink() and not path.exists():
        return "a link to nothing"
    if not path.is_file():
        return "no regular file"
    if path.suffix.lower() not in SUFFIXES:
        return f"not a supported image format, '{path.suffix}'" if path.suffix else "no suffix"
    if path.stat().st_size > MOST_FILE:
        return f"more than {MOST_FILE // 2**20} MiB"
    return None


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
