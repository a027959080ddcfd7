"""A data set that is a folder of images, one folder a class."""

import hashlib
import os
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import tensorflow as tf

from training.data.encoded import EncodedImages, without_autotuning
from training.data.image_files import ImageReader, beginning
from training.data.layout import (
    EVERY,
    TRAIN,
    VALIDATION,
    existing_folder,
    split_as_before,
    split_by_folders,
    whole,
)
from zoo.adapters.zookeeper import Field, component
from zoo.adapters.zookeeper_tf import Dataset
from zoo.errors import DatasetError
from zoo.images import NATIVE_SUFFIXES
from zoo.limits import above, at_least

MOST_READ, BEGINNING = 4096, 2**16  # files of a split that its digest reads, and bytes of each
READ_TOGETHER = 16  # files
AS_PNG = 8  # how much larger a PNG file may be than one of a lossy format


class Files(NamedTuple):
    """The images of a split: paths, labels int64 [n], and sizes in bytes int64 [n]."""

    paths: list[str]
    labels: np.ndarray
    sizes: np.ndarray


@component
class ImageFolder(EncodedImages, Dataset):
    """Images in `data_dir`, in one of two layouts.

    - train/CLASS/* and val/CLASS/* (or validation/, else test/);
    - CLASS/* only: a fraction `validation_share` of each class's images, drawn by `split_seed`, is
      held out for validation.

    Other splits are "test", if there is a folder test/ beside val/, and "all", every image. Labels
    follow the alphabetical order of the class folders, or their numerical order if all names are
    numbers. A class's images may be in subfolders of any depth. `remarks` lists files that are not
    used.
    """

    # The folder of your images: one folder per class, or train/CLASS and validation/CLASS.
    data_dir: str | os.PathLike | None = Field(None)

    # Fraction of each class's images for validation, if there is no validation folder.
    validation_share: Annotated[float, above(0, below=1)] = Field(0.1)

    # Seed that selects these images.
    split_seed: Annotated[int, at_least(0, below=2**31)] = Field(0)

    train_split: str = Field(TRAIN)
    validation_split: str = Field(VALIDATION)

    @property
    def root(self) -> Path:
        """Return the folder; raises DatasetError if no folder was given or it does not exist."""
        return existing_folder(self.data_dir)

    _reads_all_formats = True
    _whole = False

    def take_whole(self) -> None:
        """Use all images for every split, for a folder that is used only for evaluation."""
        self._whole = True
        self.__dict__.pop("_scanned", None)

    @property
    def is_flat(self) -> bool:
        """Return whether the folder holds class folders, not train/ and others."""
        return not (self.root / "train").is_dir()

    def find_as_before(self) -> None:
        """Find and split the images as in runs that are older than records of their data.

        These used only .jpg, .jpeg and .png files directly in the class folders, and the hash of
        an image's name decided whether it was held out.
        """
        self.as_before = True
        self.__dict__.pop("_scanned", None)

    def read_without_python(self) -> None:
        """Read only JPEG and PNG files: a data service cannot run Python code for others."""
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
        """Return the data that are not used, one sentence each."""
        return self._index[2]

    @property
    def class_names(self) -> list[str]:
        """Return the class folders' names, by label."""
        return self._index[0]

    @property
    def num_classes(self) -> int:
        """Return the number of classes."""
        return len(self.class_names)

    def num_examples(self, split: str) -> int:
        """Return the number of image files in a split, readable or not."""
        return len(self._files(split).paths)

    def encoded_bytes(self, split: str) -> int:
        """Return the size of a split's files in bytes; files that become PNGs are estimated."""
        files = self._files(split)
        return sum(
            int(size) * (1 if path.lower().endswith(NATIVE_SUFFIXES) else AS_PNG)
            for path, size in zip(files.paths, files.sizes, strict=True)
        )

    def content(self, split: str) -> dict[str, dict[str, Any]]:
        """Return the number of images and a digest of each class of a split.

        The digest covers all names and sizes. It also covers the beginnings of some files, because
        other files may have the same names and sizes.
        """
        files, names = self._files(split), self.class_names
        most = max(1, MOST_READ // len(names))
        found: dict[str, dict[str, Any]] = {}
        for label, name in enumerate(names):
            digest = hashlib.sha256()
            numbers = np.flatnonzero(files.labels == label)
            every = -(-len(numbers) // most) or 1
            for index, number in enumerate(numbers):
                path = Path(files.paths[number])
                part = path.relative_to(self.root).as_posix().partition(name + "/")[2]
                digest.update(f"{part}\0{files.sizes[number]}\n".encode())
                if index % every == 0:
                    digest.update(beginning(path, BEGINNING))
            found[name] = {"images": len(numbers), "digest": digest.hexdigest()[:16]}
        return found

    def identity(self, split: str) -> list[str]:
        """Return the base class's texts, and each file's path, size and times of change.

        The times show that two images were exchanged.
        """
        return [*super().identity(split), *map(_state, self._files(split).paths)]

    def why_unusable(self, name: str) -> str:
        """Return why a file could not be used, if that is known."""
        return self._reader.reasons.get(name, "")

    def examples(self, split: str) -> tf.data.Dataset:
        """Return every example of a split once, ordered by class and file name."""
        files = self._files(split)
        return without_autotuning(self._read(np.array(files.paths), files.labels))

    def stream(self, split: str, seed: int, buffer: int, start: int = 0) -> tf.data.Dataset:
        """Return examples without end. All names are shuffled, so `buffer` has no effect."""
        files, order = self._files(split), self._order(split, seed)
        # Roll the order so that it begins at `start`: no earlier file is opened.
        order = np.roll(order, -(start % len(order)))
        return self._read(np.array(files.paths)[order], files.labels[order], repeat=True)

    def stream_names(self, split: str, seed: int, buffer: int) -> tf.data.Dataset:
        """Return the paths in `stream`'s order."""
        paths = np.array(self._files(split).paths)
        return tf.data.Dataset.from_tensor_slices(paths[self._order(split, seed)])

    @property
    def _reader(self) -> ImageReader:
        if "_image_reader" not in self.__dict__:
            self._image_reader = ImageReader()
        return self._image_reader

    def _order(self, split: str, seed: int) -> np.ndarray:
        return np.random.Generator(np.random.Philox(seed)).permutation(self.num_examples(split))

    def _read(self, paths: np.ndarray, labels: np.ndarray, repeat: bool = False) -> tf.data.Dataset:
        def contents(paths: tf.Tensor) -> tf.Tensor:
            if self._reads_all_formats:
                return self._reader.contents(paths)
            # A data service runs no Python code; it reports bad files only by TensorFlow's errors.
            return tf.map_fn(tf.io.read_file, paths)

        def read(paths: tf.Tensor, labels: tf.Tensor) -> dict[str, tf.Tensor]:
            return {"image": contents(paths), "label": labels, "name": paths}

        pairs = tf.data.Dataset.from_tensor_slices((paths, labels))
        batches = (pairs.repeat() if repeat else pairs).batch(READ_TOGETHER)
        return batches.map(read, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True).unbatch()

    def _files(self, split: str) -> Files:
        splits = self._index[1]
        if self._whole:
            return splits[EVERY]
        if split in splits:
            return splits[split]
        if split == EVERY:
            every = list(splits.values())
            paths = [path for files in every for path in files.paths]
            labels, sizes = (np.concatenate([files[i] for files in every]) for i in (1, 2))
            splits[split] = Files(paths, labels, sizes)
            return splits[split]
        raise DatasetError(
            f"ImageFolder has no split '{split}'; it has {', '.join(sorted({*splits, EVERY}))}."
        )

    @property
    def _index(self) -> tuple[list[str], dict[str, Files], list[str]]:
        if "_scanned" not in self.__dict__:
            self._scanned = self._scan()
        return self._scanned

    def _scan(self) -> tuple[list[str], dict[str, Files], list[str]]:
        root = self.root
        if self._whole:
            found = whole(root)
        elif self.as_before:
            found = split_as_before(root, self.validation_share)
        else:
            found = split_by_folders(root, self.validation_share, self.split_seed)
        files = {name: _files_of(each, found.names) for name, each in found.splits.items()}
        return found.names, files, found.remarks


def _state(path: str) -> str:
    """Return a path with its file's size and times, which change with its content or place."""
    try:
        found = os.stat(path)
    except OSError:
        return path
    return f"{path}\0{found.st_size}\0{found.st_mtime_ns}\0{found.st_ctime_ns}"


def _files_of(by_class: dict[str, list[Path]], names: list[str]) -> Files:
    paths = [str(p) for name in names for p in by_class.get(name, [])]
    labels = [i for i, name in enumerate(names) for _ in by_class.get(name, [])]
    return Files(paths, np.array(labels, np.int64), np.array([*map(_size, paths)], np.int64))


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0
