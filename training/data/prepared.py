"""Data sets that tensorflow-datasets has prepared, read without its builders' code and offline.

No `from __future__ import annotations` here: Zookeeper needs annotations as types, not as text.
"""

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import tensorflow as tf

from training.data.encoded import EncodedImages, shuffled, without_autotuning
from zoo.adapters.zookeeper import Field, utils
from zoo.adapters.zookeeper_tf import TFDSDataset
from zoo.errors import DatasetError, InvalidValueError
from zoo.files import expanded

if TYPE_CHECKING:
    import tensorflow_datasets as tfds

DEFAULT_DIR = "~/tensorflow_datasets"
INTERLEAVED_FILES, INTERLEAVED_RECORDS = 16, 16
PARSED_TOGETHER = 64


class PreparedImages(EncodedImages, TFDSDataset):
    """A data set that tensorflow-datasets has prepared, read without its builder code and offline.

    We read the newest version in `data_dir`/NAME/VERSION (default of `data_dir`: $TFDS_DATA_DIR,
    else ~/tensorflow_datasets). With `download=True`, tensorflow-datasets prepares a missing set.
    """

    data_dir: str | os.PathLike | None = Field(None)

    # Images by split, and number of classes, for a dry run without the data.
    published_examples: ClassVar[Mapping[str, int]] = {}
    published_classes: ClassVar[int | None] = None

    # The features that hold an image and its class.
    image_key, label_key = "image", "label"

    # What to do when the data set is missing; `{root}` is the folder that was searched.
    how_to_get = "run `lqz train TASK dataset={kind} dataset.download=True`"

    def __post_configure__(self) -> None:
        own = type(self).__component_fields__["name"]._default
        if own is not utils.missing and self.name != own:
            raise InvalidValueError(
                f"{type(self).__name__} is the data set '{own}': for another data "
                f"set, give dataset=tfds:{self.name}."
            )

    @property
    def root(self) -> Path:
        """Return the folder that holds prepared data sets."""
        chosen = self.data_dir or os.environ.get("TFDS_DATA_DIR") or DEFAULT_DIR
        return expanded(chosen)

    @property
    def builder(self) -> "tfds.core.DatasetBuilder":
        """Return the opened data set; raises DatasetError if it is missing or damaged."""
        if "_builder" not in self.__dict__:
            self._builder = self._open()
        return self._builder

    @property
    def is_prepared(self) -> bool:
        """Return whether the data set is on disk."""
        return self._newest_version() is not None

    @property
    def info(self) -> "tfds.core.DatasetInfo":
        """Return the metadata, with splits and features."""
        return self.builder.info

    @property
    def class_names(self) -> list[str]:
        """Return the class names, by label."""
        return list(self.info.features[self.label_key].names)

    @property
    def num_classes(self) -> int:
        """Return the number of classes."""
        return self.published_classes or len(self.class_names)

    def num_examples(self, split: str) -> int:
        """Return the number of images in a split or part of one ("train[:90%]")."""
        return self._split(split).num_examples

    def encoded_bytes(self, split: str) -> int:
        """Return the size of a split's images in bytes, estimated from the size of all records.

        For images that are stored as pixels, it is the size of the pixels.
        """
        if self._pixels_shape:
            return self.num_examples(split) * math.prod(self._pixels_shape)
        whole = self._split(split.partition("[")[0])
        return whole.num_bytes * self.num_examples(split) // max(whole.num_examples, 1)

    def examples(self, split: str) -> tf.data.Dataset:
        """Return every example of a split once, in file order."""
        return without_autotuning(self._records(split, None))

    def stream(self, split: str, seed: int, buffer: int, start: int = 0) -> tf.data.Dataset:
        """Return examples without end: files in seeded order, 16 read alternately, then shuffled.

        The shuffle uses a seeded buffer.
        """
        records = shuffled(self._records(split, seed), buffer, seed)
        return records.repeat().skip(start % self.num_examples(split))

    def stream_names(self, split: str, seed: int, buffer: int) -> tf.data.Dataset:
        """Return only the names, with the same order of files and the same shuffle."""
        return shuffled(self._in_turns(split, seed, contents=False), buffer, seed)

    def _records(self, split: str, seed: int | None) -> tf.data.Dataset:
        """Return examples in file order (`seed` None), or from permuted files read alternately."""
        spec = {
            self.image_key: tf.io.FixedLenFeature((), tf.string),
            self.label_key: tf.io.FixedLenFeature((), tf.int64),
        }
        shape = self._pixels_shape

        def parse(names, records):  # many at once: several times faster than tfds does
            found = tf.io.parse_example(records, spec)
            examples = {"image": found[self.image_key], "label": found[self.label_key]}
            if shape:
                pixels = tf.io.decode_compressed(examples["image"], "ZLIB")
                pixels = tf.reshape(tf.io.decode_raw(pixels, tf.uint8), [-1, *shape])
                examples["image"] = tf.io.encode_png(pixels, compression=0)
            return examples | {"name": names}

        records = self._in_turns(split, seed, contents=True).batch(PARSED_TOGETHER)
        records = records.map(parse, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        return records.unbatch()

    @property
    def _pixels_shape(self) -> tuple[int, int, int] | None:
        """Return [h, w, c] of images stored as zlib-compressed pixels; None for PNG or JPEG."""
        import tensorflow_datasets as tfds  # takes seconds

        feature = self.info.features[self.image_key]
        return None if isinstance(feature, tfds.features.Image) else feature.shape

    def _in_turns(self, split: str, seed: int | None, contents: bool) -> tf.data.Dataset:
        """Return names, or pairs (name, serialised example), of a split's files."""
        files = list(self._split(split).file_instructions)
        if seed is not None:
            order = np.random.Generator(np.random.Philox(seed)).permutation(len(files))
            files = [files[i] for i in order]
        paths = tf.constant([os.fspath(f.filename) for f in files])
        bases = tf.constant([os.path.basename(f.filename) for f in files])
        skips = np.array([f.skip for f in files], np.int64)
        ends = skips + np.array([f.take for f in files], np.int64)

        def read(path, base, first, end):
            numbers = tf.strings.as_string(tf.range(first, end))
            names = tf.data.Dataset.from_tensor_slices(tf.strings.join([base, numbers], "__"))
            if not contents:
                return names
            return tf.data.Dataset.zip((names, tf.data.TFRecordDataset(path).skip(first)))

        return tf.data.Dataset.from_tensor_slices((paths, bases, skips, ends)).interleave(
            read,
            cycle_length=1 if seed is None else INTERLEAVED_FILES,
            block_length=INTERLEAVED_RECORDS,
            num_parallel_calls=tf.data.AUTOTUNE,
            deterministic=True,
        )

    def _split(self, split: str):
        try:
            return self.info.splits[split]
        except (KeyError, ValueError) as error:
            raise DatasetError(
                f"Data set {self.title} has no split '{split}'; it has "
                f"{', '.join(sorted(self.info.splits))}."
            ) from error

    def _open(self) -> "tfds.core.DatasetBuilder":
        import tensorflow_datasets as tfds  # takes seconds

        kind = self.title
        folder = self._newest_version()
        if folder is None:
            if not self.download:
                way = self.how_to_get.format(kind=kind, root=self.root)
                raise DatasetError(
                    f"Data set {kind} is not in {self.root / self.name}: {way}, or give the "
                    "folder that holds it as dataset.data_dir."
                )
            self._prepare(kind)
            folder = self._newest_version()
        damaged = f"Data set {kind} in {folder} is damaged"
        again = "delete that folder and prepare the data set again."
        if folder is None:
            raise DatasetError(f"Data set {kind} was prepared, but not in {self.root}: {again}")
        for needed in ("dataset_info.json", "features.json"):
            if not (folder / needed).is_file():
                raise DatasetError(f"{damaged} ({needed} is missing): {again}")
        try:
            builder = tfds.builder_from_directory(folder)
            problem = next(filter(None, map(_shortfall, builder.info.splits.values())), None)
        except Exception as error:  # tensorflow-datasets raises many kinds
            raise DatasetError(f"{damaged} ({_first_line(error)}): {again}") from error
        if problem:
            raise DatasetError(f"{damaged} ({problem}): {again}")
        return builder

    def _newest_version(self) -> Path | None:
        return self._version_in(self.root / self.name)

    @staticmethod
    def _version_in(folder: Path) -> Path | None:
        folders = folder.glob("[0-9]*.[0-9]*.[0-9]*")
        numbered = {tuple(map(int, f.name.split("."))): f for f in folders if _is_version(f.name)}
        return numbered[max(numbered)] if numbered else None

    def _prepare(self, kind: str) -> None:
        import tensorflow_datasets as tfds  # takes seconds

        try:
            tfds.builder(self.name, data_dir=str(self.root)).download_and_prepare()
        except Exception as error:  # network, disk, missing archives, checksums
            way = self.how_to_get.format(kind=kind, root=self.root)
            raise DatasetError(
                f"Data set {kind} could not be prepared in {self.root} ({_first_line(error)}): "
                f"{way}, or copy a prepared data set there."
            ) from error


def _shortfall(split) -> str | None:
    """Return what is missing from a split's files, judged by their sizes; None if nothing.

    This finds a truncated file before training, not hours into an epoch. TFRecord adds 16 bytes to
    each record.
    """
    expected = split.num_bytes + 16 * split.num_examples
    paths = [Path(path) for path in split.filepaths]
    missing = [path.name for path in paths if not path.is_file()]
    if missing:
        return f"{missing[0]} is missing"
    actual = sum(path.stat().st_size for path in paths)
    return f"split {split.name} has {actual} bytes of {expected}" if actual < expected else None


def _is_version(name: str) -> bool:
    return len(name.split(".")) == 3 and name.replace(".", "").isdigit()


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
