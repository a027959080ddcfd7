"""A data set that is a folder of images, one folder a class."""

import hashlib
import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from zookeeper import Field, component
from zookeeper.tf import Dataset

from training.data.encoded import EncodedImages
from training.data.listing import (
    Listing,
    flat_images,
    list_images,
    printable,
    shortened,
    split_by_index,
)
from training.data.listing import remarks as listing_remarks
from zoo.errors import DatasetError, InvalidValueError
from zoo.images import FORMATS, NATIVE_SUFFIXES, as_png, is_native

MOST_READ, BEGINNING = 4096, 2**16  # files of a split that its digest reads, and bytes of each
AS_PNG = 8  # how much larger a PNG file may be than one of a lossy format

VALIDATION_FOLDERS = ("val", "validation")  # else test
LAYOUT = (
    "expected train/CLASS/*.jpg with val/CLASS/*.jpg (or validation/, test/), or CLASS/*.jpg alone "
    f"({FORMATS})"
)


class Files(NamedTuple):
    """The images of a split: paths, and labels int64 [n]."""

    paths: list[str]
    labels: np.ndarray


@component
class ImageFolder(EncodedImages, Dataset):
    """Images in `data_dir`, in one of two layouts.

    - train/CLASS/* and val/CLASS/* (or validation/, or else test/);
    - CLASS/* alone: of each class, `validation_share` of the images are held out, drawn by
      `split_seed`.

    Classes are numbered in the alphabetical order of their folders; their images may lie in folders
    of any depth. What is not used is told by `remarks`.
    """

    data_dir: str | os.PathLike | None = Field(None)

    # Share of each class's images to validate with, where there is no validation folder.
    validation_share: float = Field(0.1)

    # Which images these are.
    split_seed: int = Field(0)

    train_split: str = Field("train")
    validation_split: str = Field("validation")

    @property
    def root(self) -> Path:
        """The folder; raises DatasetError where none was given or none is there."""
        if self.data_dir is None:
            raise DatasetError("ImageFolder needs dataset.data_dir=FOLDER: " + LAYOUT + ".")
        root = Path(self.data_dir).expanduser()
        if not root.is_dir():
            raise DatasetError(f"There is no folder {root}: {LAYOUT}.")
        return root

    _reads_all_formats = True

    def find_as_before(self) -> None:
        """Find and split the images as runs did before there was a record of their data: only .jpg
        and .png directly in the class folders, held out by the hash of their names."""
        self.as_before = True
        self.__dict__.pop("_scanned", None)

    def read_without_python(self) -> None:
        """Read JPEG and PNG files only: others take Python, which a data service does not have."""
        for split in (self.train_split, self.validation_split):
            for path in self._files(split).paths:
                if not path.lower().endswith(NATIVE_SUFFIXES):
                    raise DatasetError(
                        f"A data service reads only JPEG and PNG files, not {path}: convert it, or "
                        "use cache=memory."
                    )
        self._reads_all_formats = False

    @property
    def remarks(self) -> list[str]:
        """What is not used, a sentence each."""
        return self._index[2]

    @property
    def class_names(self) -> list[str]:
        """The class folders' names, by label."""
        return self._index[0]

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self.class_names)

    def num_examples(self, split: str) -> int:
        """Number of image files in a split, readable or not."""
        return len(self._files(split).paths)

    def encoded_bytes(self, split: str) -> int:
        """Size of a split's files in bytes; of those that become PNG files, an estimate."""
        return sum(
            os.stat(path).st_size * (1 if path.lower().endswith(NATIVE_SUFFIXES) else AS_PNG)
            for path in self._files(split).paths
        )

    def content(self, split: str) -> dict[str, dict[str, Any]]:
        """By class, how many images a split has, and a digest: of all names and sizes, and of the
        beginnings of some files, as files of the same names and sizes may be others."""
        files, names = self._files(split), self.class_names
        most = max(1, MOST_READ // len(names))
        found: dict[str, dict[str, Any]] = {}
        for label, name in enumerate(names):
            digest = hashlib.sha256()
            paths = [Path(files.paths[i]) for i in np.flatnonzero(files.labels == label)]
            every = -(-len(paths) // most) or 1
            for index, path in enumerate(paths):
                part = path.relative_to(self.root).as_posix().partition(name + "/")[2]
                digest.update(f"{part}\0{path.stat().st_size}\n".encode())
                if index % every == 0:
                    with path.open("rb") as file:
                        digest.update(file.read(BEGINNING))
            found[name] = {"images": len(paths), "digest": digest.hexdigest()[:16]}
        return found

    def identity(self, split: str) -> list[str]:
        """As of every data set, and the paths: an image may move to another class."""
        return [*super().identity(split), *self._files(split).paths]

    def examples(self, split: str) -> tf.data.Dataset:
        """Every example of a split once, by class and file name."""
        files = self._files(split)
        return self._read(np.array(files.paths), files.labels)

    def stream(self, split: str, seed: int, buffer: int, start: int = 0) -> tf.data.Dataset:
        """A full shuffle without end; `buffer` does not matter, since file names are shuffled."""
        files, order = self._files(split), self._order(split, seed)
        # Going round from `start` needs no skipping: no file before it is opened.
        order = np.roll(order, -(start % len(order)))
        return self._read(np.array(files.paths)[order], files.labels[order], repeat=True)

    def stream_names(self, split: str, seed: int, buffer: int) -> tf.data.Dataset:
        """The paths in `stream`'s order."""
        paths = np.array(self._files(split).paths)
        return tf.data.Dataset.from_tensor_slices(paths[self._order(split, seed)])

    def _order(self, split: str, seed: int) -> np.ndarray:
        return np.random.Generator(np.random.Philox(seed)).permutation(self.num_examples(split))

    def _read(self, paths: np.ndarray, labels: np.ndarray, repeat: bool = False) -> tf.data.Dataset:
        converts = self._reads_all_formats

        def read(path: tf.Tensor, label: tf.Tensor) -> dict[str, tf.Tensor]:
            contents = tf.io.read_file(path)
            if converts:
                contents = tf.cond(is_native(contents), lambda: contents, lambda: _png(contents))
            return {"image": contents, "label": label, "name": path}

        pairs = tf.data.Dataset.from_tensor_slices((paths, labels))
        return (pairs.repeat() if repeat else pairs).map(
            read,
            num_parallel_calls=tf.data.AUTOTUNE,
            deterministic=True,
        )

    def _files(self, split: str) -> Files:
        splits = self._index[1]
        if split not in splits:
            raise DatasetError(
                f"ImageFolder has no split '{split}'; it has {', '.join(sorted(splits))}."
            )
        return splits[split]

    @property
    def _index(self) -> tuple[list[str], dict[str, Files], list[str]]:
        if "_scanned" not in self.__dict__:
            self._scanned = self._scan()
        return self._scanned

    def _scan(self) -> tuple[list[str], dict[str, Files], list[str]]:
        if not 0 < self.validation_share < 1:
            raise InvalidValueError(
                f"validation_share must lie between 0 and 1, not {self.validation_share}."
            )
        if not 0 <= self.split_seed < 2**31:
            raise InvalidValueError(f"split_seed={self.split_seed} must be 0 or more, below 2^31.")
        root = self.root
        find = flat_images if self.as_before else list_images
        remarks: list[str] = []
        if (root / "train").is_dir():
            held_out, unused = self._validation_folder(root)
            listings = [find(root / "train"), find(held_out)]
            train, validation = (listing.images for listing in listings)
            remarks += [f"Not used (no part of train/ and {held_out.name}/): {n}." for n in unused]
        else:
            listings = [find(root)]
            everything = listings[0].images
            if self.as_before:
                train, validation = self._split_by_name(everything)
            else:
                share, seed = self.validation_share, self.split_seed
                train, validation = split_by_index(everything, share, seed)
        if not any(train.values()) or not any(validation.values()):
            side = "validation" if any(train.values()) else "training"
            raise DatasetError(f"{root} holds no {side} images: {LAYOUT}.")
        self._require_images(listings[0], root)
        unknown = sorted(set(validation) - set(train))
        if unknown:
            raise DatasetError(
                f"{root} has validation images of class '{unknown[0]}', but no folder "
                f"train/{unknown[0]}: {LAYOUT}."
            )
        names = sorted(train)
        for listing in listings:
            remarks += listing_remarks(listing.left_out, root)
        if without := [name for name in names if not validation.get(name)]:
            remarks.append(f"No validation images have the class {shortened(without)}.")
        splits = {
            self.train_split: _files_of(train, names),
            self.validation_split: _files_of(validation, names),
        }
        return names, splits, [] if self.as_before else remarks

    @staticmethod
    def _validation_folder(root: Path) -> tuple[Path, list[str]]:
        """The folder beside train/ to validate with, and the names of what else lies there."""
        here = {entry.name for entry in root.iterdir() if not entry.name.startswith(".")}
        found = [name for name in VALIDATION_FOLDERS if (root / name).is_dir()]
        if not found and (root / "test").is_dir():
            found = ["test"]
        if len(found) != 1:
            has = " and ".join(found) or "no validation folder"
            raise DatasetError(f"{root} has train/ and {has}: {LAYOUT}.")
        return root / found[0], sorted(here - {"train", found[0]})

    def _require_images(self, listing: Listing, root: Path) -> None:
        """Raise DatasetError where a class folder has no image: it would not be learned."""
        empty = [name for name, files in listing.by_class.items() if not files]
        if not empty or self.as_before:
            return
        of_class = [
            f"{printable(path.relative_to(root))} ({reason})"
            for reason, paths in listing.left_out.items()
            for path in paths
            if empty[0] in path.relative_to(root).parts[:-1]
        ]
        raise DatasetError(
            f"The class folder {empty[0]} of {root} holds no image that is read"
            f"{', but ' + shortened(of_class) if of_class else ''}: remove the folder, or put "
            f"images there ({FORMATS})."
        )

    def _split_by_name(self, everything: dict[str, list[Path]]) -> tuple[dict, dict]:
        train = {c: [p for p in ps if not self._held_out(p)] for c, ps in everything.items()}
        validation = {c: [p for p in ps if self._held_out(p)] for c, ps in everything.items()}
        return train, validation

    def _held_out(self, path: Path) -> bool:
        digest = hashlib.sha256(path.name.encode()).digest()
        return int.from_bytes(digest[:8], "big") / 2**64 < self.validation_share


def _png(contents: tf.Tensor) -> tf.Tensor:
    """Bytes of an image of another format, as those of a PNG file."""
    return tf.ensure_shape(tf.numpy_function(as_png, [contents], tf.string), [])


def _files_of(by_class: dict[str, list[Path]], names: list[str]) -> Files:
    paths = [str(p) for name in names for p in by_class.get(name, [])]
    labels = [i for i, name in enumerate(names) for _ in by_class.get(name, [])]
    return Files(paths, np.array(labels, np.int64))
