"""The interface of all data sets: encoded images in a fixed or a seeded order."""

import abc
import contextlib
import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tensorflow as tf

from zoo.errors import DatasetError

WHOLE = "all"  # the only part of a split if its classes are not counted separately


class EncodedImages(abc.ABC):
    """Images that are still encoded, with labels and names, by split.

    An *example* is a dict of scalars: "image" string (the PNG or JPEG file's bytes), "label" int64,
    "name" string (a tfds id such as `cifar10-train.tfrecord-00000-of-00001__7`, or a file's path).
    """

    train_split: str
    validation_split: str

    # Whether images are found and split as in runs that are older than records of their data.
    as_before = False

    def find_as_before(self) -> None:
        """Find and split the images as in runs that are older than records of their data."""
        self.as_before = True

    @property
    def title(self) -> str:
        """Return the data set's name on the command line, as one word."""
        return type(self).__name__

    @property
    @abc.abstractmethod
    def class_names(self) -> list[str]:
        """Return the class names, by label."""

    @property
    @abc.abstractmethod
    def num_classes(self) -> int:
        """Return the number of classes."""

    @abc.abstractmethod
    def num_examples(self, split: str) -> int:
        """Return the number of images in a split, readable or not."""

    @abc.abstractmethod
    def encoded_bytes(self, split: str) -> int:
        """Return the size of a split's encoded images in bytes, from metadata."""

    @abc.abstractmethod
    def examples(self, split: str) -> tf.data.Dataset:
        """Return every example of a split once, always in the same order.

        Data sets of this package return it `without_autotuning`.
        """

    @abc.abstractmethod
    def stream(self, split: str, seed: int, buffer: int, start: int = 0) -> tf.data.Dataset:
        """Return examples without end, from position `start`, in an order set by `seed` only.

        After the last position the same order begins again. Nothing before `start` is decoded.
        `buffer` is the number of encoded images that a shuffle may hold in memory.
        """

    @abc.abstractmethod
    def stream_names(self, split: str, seed: int, buffer: int) -> tf.data.Dataset:
        """Return the names of one pass of `stream`, without reading an image."""

    def identity(self, split: str) -> list[str]:
        """Return texts that differ for other splits and after a change; reads no image."""
        size = (self.num_examples(split), self.encoded_bytes(split))
        return [str(getattr(self, "root", "")), split, *map(str, size)]

    def read_without_python(self) -> None:  # noqa: B027 (most never need Python)
        """Read without Python code, for a data service. DatasetError if files need Python code."""

    def why_unusable(self, name: str) -> str:
        """Return why an image could not be used, if that is known."""
        return ""

    @property
    def remarks(self) -> list[str]:
        """Return the data that are not used, one sentence each."""
        return []

    def content(self, split: str) -> dict[str, dict[str, Any]]:
        """Return a run's record of a split: by part, the number of images and a digest."""
        count = self.num_examples(split)
        digest = hashlib.sha256(f"{count} {self.encoded_bytes(split)}".encode()).hexdigest()[:16]
        return {WHOLE: {"images": count, "digest": digest}}

    def train(self, decoders=None) -> tuple[tf.data.Dataset, int]:
        """Return the training examples in fixed order, and their number (for Zookeeper)."""
        return self.examples(self.train_split), self.num_examples(self.train_split)

    def validation(self, decoders=None) -> tuple[tf.data.Dataset, int]:
        """Return the validation examples in fixed order, and their number (for Zookeeper)."""
        return self.examples(self.validation_split), self.num_examples(self.validation_split)


def shuffled(dataset: tf.data.Dataset, buffer: int, seed: int) -> tf.data.Dataset:
    """Shuffle with an order that depends on `seed` only and is the same in every pass.

    `dataset.shuffle` mixes TensorFlow's global seed into its seed. Inside a function it uses the
    seed of that function's graph instead, and this graph's seed is fixed.
    """

    def shuffle(_):
        tf.random.set_seed(0)
        return dataset.shuffle(buffer, seed=seed, reshuffle_each_iteration=False)

    return tf.data.Dataset.from_tensors(0).flat_map(shuffle)


def without_autotuning(data: tf.data.Dataset) -> tf.data.Dataset:
    """Return `data` that works with TensorFlow's default numbers of threads.

    With autotuning, the end of a pass over all images sometimes waits as long as the pass itself
    took (seen with TensorFlow 2.19 in a quarter of the passes of six seconds): the thread that
    tunes does not notice that it should stop, and sleeps until its next turn, up to a minute.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return data.with_options(options)


@contextlib.contextmanager
def reading(dataset: EncodedImages, copy: Path | None = None) -> Iterator[None]:
    """Turn TensorFlow's errors about files, while iterating over records, into one sentence.

    Other errors, from another worker or a service, are not changed.

    Args:
        dataset: the data set that is read.
        copy: the file with its copy, if that is read instead of the data set's own files.
    """
    try:
        yield
    except (
        tf.errors.DataLossError,
        tf.errors.NotFoundError,
        tf.errors.FailedPreconditionError,
        tf.errors.PermissionDeniedError,
    ) as error:
        reason = said(error)
        named = re.match(r"(/[^;]*); (.*?)(\s*\[|$)", reason)
        damaged = isinstance(error, tf.errors.DataLossError)
        if not damaged and not named:
            raise
        if named and not damaged:
            what, reason = f"'{named[1]}'", named[2]
            remedy = "put it back, or prepare the data set again"
        else:
            reason = reason.partition(" [")[0]
            what = f"A file of data set {type(dataset).__name__} in {getattr(dataset, 'root', '')}"
            remedy = "delete the data set and prepare it again"
        if copy is not None and (damaged or (named and named[1] == str(copy))):
            what, remedy = f"The copy of the images '{copy}'", "delete it and run the command again"
        state = "is damaged" if damaged else "cannot be read"
        raise DatasetError(f"{what} {state} ({reason}): {remedy}.") from error


def said(error: tf.errors.OpError) -> str:
    """Return the first line of a TensorFlow error, without its place in the graph."""
    return re.sub(r"^\{\{.*?\}\}\s*", "", error.message.splitlines()[0])
