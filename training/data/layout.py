"""Split the images of a folder into training, validation and test, by its subfolders."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field
from pathlib import Path

from training.data.listing import (
    EMPTY,
    Listing,
    flat_images,
    in_order,
    list_images,
    printable,
    shortened,
    split_by_index,
)
from training.data.listing import remarks as remarks_of
from zoo.errors import DatasetError
from zoo.files import expanded
from zoo.images import FORMATS

TRAIN, VALIDATION, TEST, EVERY = "train", "validation", "test", "all"  # splits
VALIDATION_FOLDERS = ("val", "validation")  # else test
PARTS = (TRAIN, *VALIDATION_FOLDERS, TEST)
LAYOUT = (
    "expected train/CLASS/*.jpg with val/CLASS/*.jpg (or validation/, test/), or CLASS/*.jpg alone "
    f"({FORMATS})"
)

ByClass = dict[str, list[Path]]


@dataclass
class Layout:
    """The images of a folder.

    Attributes:
        names: class names, by label.
        splits: the images of each class, by split.
        remarks: unused files and other warnings, one sentence each.
    """

    names: list[str]
    splits: dict[str, ByClass]
    remarks: list[str] = field(default_factory=list)


def existing_folder(data_dir: str | os.PathLike | None) -> Path:
    """Return the folder of images; DatasetError if no folder was given or it does not exist."""
    if data_dir is None:
        raise DatasetError("ImageFolder needs dataset.data_dir=FOLDER: " + LAYOUT + ".")
    root = expanded(data_dir)
    if not root.is_dir():
        raise DatasetError(f"There is no folder {root}: {LAYOUT}.")
    return root


def split_by_folders(root: Path, share: float, seed: int) -> Layout:
    """Return the training and validation images of a folder, and test images if it has them.

    Args:
        root: holds train/ and one of val/, validation/ and test/, or only class folders.
        share, seed: fraction of images to hold out and seed to draw them, if there are only class
            folders.

    Raises:
        DatasetError: there are no training images or no validation images, or a class folder has
            no image.
    """
    remarks: list[str] = []
    tests: ByClass = {}
    if (root / TRAIN).is_dir():
        held_out, unused = _validation_folder(root)
        listings = [list_images(root / TRAIN), list_images(held_out)]
        train, validation = (listing.images for listing in listings)
        for name in unused:
            what = f"it is outside train/ and {held_out.name}/"
            if name == TEST and (root / TEST).is_dir():
                tests = list_images(root / TEST).images
                if tests and tests.keys() <= train.keys():
                    what += "; to evaluate on it: dataset.validation_split=test"
            remarks.append(f"Not used ({what}): {name}.")
    else:
        listings = [list_images(root)]
        train, validation = split_by_index(listings[0].images, share, seed)
    _require_both(root, train, validation)
    _require_images(listings[0], root)
    names = in_order(list(train))
    remarks += _surprises(names, validation)
    for listing in listings:
        remarks += remarks_of(listing.left_out, root)
    splits = {TRAIN: train, VALIDATION: validation}
    if tests and tests.keys() <= train.keys():
        splits[TEST] = tests
    return Layout(names, splits, remarks)


def split_as_before(root: Path, share: float) -> Layout:
    """Split as in runs that are older than records of their data; see `listing.flat_images`."""
    if (root / TRAIN).is_dir():
        held_out, _ = _validation_folder(root)
        train, validation = flat_images(root / TRAIN).images, flat_images(held_out).images
    else:
        everything = flat_images(root).images
        train = {c: [p for p in ps if not _held_out(p, share)] for c, ps in everything.items()}
        validation = {c: [p for p in ps if _held_out(p, share)] for c, ps in everything.items()}
    _require_both(root, train, validation)
    return Layout(sorted(train), {TRAIN: train, VALIDATION: validation})


def whole(root: Path) -> Layout:
    """Return all images of a folder with class folders, or with any of train/, val/ and test/."""
    folders = [entry.name for entry in root.iterdir() if entry.is_dir() and entry.name[0] != "."]
    parts = [root / name for name in PARTS if name in folders]
    listings = [list_images(part) for part in parts if len(parts) == len(folders)]
    listings = listings or [list_images(root)]
    every: ByClass = {}
    remarks: list[str] = []
    for listing in listings:
        remarks += remarks_of(listing.left_out, root)
        for name, files in listing.images.items():
            every.setdefault(name, []).extend(files)
    if not every:
        raise DatasetError(f"{root} holds no images: {LAYOUT}.")
    return Layout(in_order(list(every)), {EVERY: every}, remarks)


def _surprises(names: list[str], validation: ByClass) -> list[str]:
    found = []
    if names != sorted(names):
        shown = shortened([f"{name} is label {label}" for label, name in enumerate(names)])
        found.append(f"All class folders are numbers, and labels follow that order: {shown}.")
    if len(names) == 1:
        found.append(f"There is only one class, {names[0]}: every prediction will be correct.")
    if without := [name for name in names if not validation.get(name)]:
        found.append(f"There are no validation images of class {shortened(without)}.")
    return found


def _validation_folder(root: Path) -> tuple[Path, list[str]]:
    """Return the validation folder beside train/, and the names of the other folders there."""
    here = {entry.name for entry in root.iterdir() if not entry.name.startswith(".")}
    found = [name for name in VALIDATION_FOLDERS if (root / name).is_dir()]
    if not found and (root / TEST).is_dir():
        found = [TEST]
    if len(found) != 1:
        has = " and ".join(found) or "no validation folder"
        raise DatasetError(f"{root} has train/ and {has}: {LAYOUT}.")
    return root / found[0], sorted(here - {TRAIN, found[0]})


def _require_both(root: Path, train: ByClass, validation: ByClass) -> None:
    if not any(train.values()) or not any(validation.values()):
        side = "validation" if any(train.values()) else "training"
        raise DatasetError(f"{root} holds no {side} images: {LAYOUT}.")
    if unknown := sorted(set(validation) - set(train)):
        raise DatasetError(
            f"{root} has validation images of class '{unknown[0]}', but no folder "
            f"train/{unknown[0]}: {LAYOUT}."
        )


def _require_images(listing: Listing, root: Path) -> None:
    """Raise DatasetError if a class folder has no image: the class could not be learned."""
    empty = [name for name, files in listing.by_class.items() if not files]
    if not empty:
        return
    of_class = [
        f"{printable(path.relative_to(root))} ({reason})"
        for reason, paths in listing.left_out.items()
        for path in paths
        if empty[0] in path.relative_to(root).parts and reason != EMPTY
    ]
    raise DatasetError(
        f"The class folder {empty[0]} of {root} holds no readable image"
        f"{', but ' + shortened(of_class) if of_class else ''}: remove the folder, or put "
        f"images there ({FORMATS})."
    )


def _held_out(path: Path, share: float) -> bool:
    digest = hashlib.sha256(path.name.encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64 < share
