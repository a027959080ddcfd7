"""A data set that is a folder of images, one folder a class."""

import hashlib
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from zookeeper import Field, component
from zookeeper.tf import Dataset

from training.data.encoded import EncodedImages
from zoo.errors import DatasetError, InvalidValueError

SUFFIXES = {".jpg", ".jpeg", ".png"}
VALIDATION_FOLDERS = ("val", "validation", "test")
LAYOUT = (
    "expected train/CLASS/*.jpg with val/CLASS/*.jpg (or validation/, test/), or CLASS/*.jpg alone "
    "(.jpg, .jpeg, .png)"
)


class Files(NamedTuple):
    """The images of a split: paths, and labels int64 [n]."""

    paths: list[str]
    labels: np.ndarray


@component
class ImageFolder(EncodedImages, Dataset):
    """Images in `data_dir`, in one of two layouts.

    - train/CLASS/* and val/CLASS/* (or validation/ or test/);
    - CLASS/* alone: an image belongs to validation when the SHA-256 of its file name, read as a
      fraction of 1, is below `validation_share`. An image thus never changes sides when others are
      added, nor when it moves to another class.

    Classes are numbered in the alphabetical order of their folders.
    """

    data_dir: str | os.PathLike | None = Field(None)
    validation_share: float = Field(0.1)
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
        """Size of a split's files in bytes."""
        return sum(os.stat(path).st_size for path in self._files(split).paths)

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

    @staticmethod
    def _read(paths: np.ndarray, labels: np.ndarray, repeat: bool = False) -> tf.data.Dataset:
        pairs = tf.data.Dataset.from_tensor_slices((paths, labels))
        return (pairs.repeat() if repeat else pairs).map(
            lambda path, label: {"image": tf.io.read_file(path), "label": label, "name": path},
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
    def _index(self) -> tuple[list[str], dict[str, Files]]:
        if "_scanned" not in self.__dict__:
            self._scanned = self._scan()
        return self._scanned

    def _scan(self) -> tuple[list[str], dict[str, Files]]:
        if not 0 < self.validation_share < 1:
            raise InvalidValueError(
                f"validation_share must lie between 0 and 1, not {self.validation_share}."
            )
        root = self.root
        if (root / "train").is_dir():
            found = [root / name for name in VALIDATION_FOLDERS if (root / name).is_dir()]
            if len(found) != 1:
                has = " and ".join(f.name for f in found) or "no validation folder"
                raise DatasetError(f"{root} has train/ and {has}: {LAYOUT}.")
            train, validation = _images(root / "train"), _images(found[0])
        else:
            everything = _images(root)
            train = {c: [p for p in ps if not self._held_out(p)] for c, ps in everything.items()}
            validation = {c: [p for p in ps if self._held_out(p)] for c, ps in everything.items()}
        if not any(train.values()) or not any(validation.values()):
            side = "validation" if any(train.values()) else "training"
            raise DatasetError(f"{root} holds no {side} images: {LAYOUT}.")
        unknown = sorted(set(validation) - set(train))
        if unknown:
            raise DatasetError(
                f"{root} has validation images of class '{unknown[0]}', but no folder "
                f"train/{unknown[0]}: {LAYOUT}."
            )
        names = sorted(train)
        splits = {
            self.train_split: _files_of(train, names),
            self.validation_split: _files_of(validation, names),
        }
        return names, splits

    def _held_out(self, path: Path) -> bool:
        digest = hashlib.sha256(path.name.encode()).digest()
        return int.from_bytes(digest[:8], "big") / 2**64 < self.validation_share


def _images(folder: Path) -> dict[str, list[Path]]:
    """The image files of each class folder that has any, in alphabetical order."""
    by_class = {}
    for entry in sorted(folder.iterdir()):
        if entry.is_dir() and not entry.name.startswith("."):
            files = [f for f in sorted(entry.iterdir()) if f.suffix.lower() in SUFFIXES]
            by_class[entry.name] = [f for f in files if not f.name.startswith(".")]
    return {name: files for name, files in by_class.items() if files}


def _files_of(by_class: dict[str, list[Path]], names: list[str]) -> Files:
    paths = [str(p) for name in names for p in by_class.get(name, [])]
    labels = [i for i, name in enumerate(names) for _ in by_class.get(name, [])]
    return Files(paths, np.array(labels, np.int64))
