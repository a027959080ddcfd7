"""What every data set of the project offers: encoded images in a fixed or a seeded order."""

import abc
import contextlib
import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tensorflow as tf

from zoo.errors import DatasetError

WHOLE = "all"  # the one part of a split whose classes are not counted


class EncodedImages(abc.ABC):
    """Images that are still encoded, with labels and names, by split.

    An *example* is a dict of scalars: "image" string (the PNG or JPEG file's bytes), "label" int64,
    "name" string (a tfds id such as `cifar10-train.tfrecord-00000-of-00001__7`, or a file's path).
    """

    train_split: str
    validation_split: str

    # Whether the images are those that runs found before there was a record of their data.
    as_before = False

    def find_as_before(self) -> None:
        """Be the data set that it was for runs from before there was a record of their data."""
        self.as_before = True

    @property
    def title(self) -> str:
        """The data set in one word, as the command line names it."""
        return type(self).__name__

    @property
    @abc.abstractmethod
    def class_names(self) -> list[str]:
        """The name of each label, by label."""

    @property
    @abc.abstractmethod
    def num_classes(self) -> int:
        """Number of classes."""

    @abc.abstractmethod
    def num_examples(self, split: str) -> int:
        """Number of images in a split, readable or not."""

    @abc.abstractmethod
    def encoded_bytes(self, split: str) -> int:
        """Size of a split's encoded images in bytes, from metadata: nothing is read."""

    @abc.abstractmethod
    def examples(self, split: str) -> tf.data.Dataset:
        """Every example of a split once, always in the same order."""

    @abc.abstractmethod
    def stream(self, split: str, seed: int, buffer: int, start: int = 0) -> tf.data.Dataset:
        """Examples in an order that depends on `seed` alone, from position `start`, without end:
        after the last position the same order begins again. Nothing before `start` is decoded.

        `buffer` is the number of encoded images a shuffle may hold in memory.
        """

    @abc.abstractmethod
    def stream_names(self, split: str, seed: int, buffer: int) -> tf.data.Dataset:
        """The names of `stream`, one pass, without reading an image."""

    def identity(self, split: str) -> list[str]:
        """What tells a split from another, and from itself before a change; reads no image."""
        size = (self.num_examples(split), self.encoded_bytes(split))
        return [str(getattr(self, "root", "")), split, *map(str, size)]

    def read_without_python(self) -> None:  # noqa: B027 (most never need Python)
        """Give data sets that a data service can run; DatasetError if files take Python to read."""

    def why_unusable(self, name: str) -> str:
        """Why an image could not be used, if that is known."""
        return ""

    @property
    def remarks(self) -> list[str]:
        """What of the data is not used, a sentence each."""
        return []

    def content(self, split: str) -> dict[str, dict[str, Any]]:
        """What a run records of a split: by part, the number of images and a digest."""
        count = self.num_examples(split)
        digest = hashlib.sha256(f"{count} {self.encoded_bytes(split)}".encode()).hexdigest()[:16]
        return {WHOLE: {"images": count, "digest": digest}}

    def train(self, decoders=None) -> tuple[tf.data.Dataset, int]:
        """Zookeeper's interface: the training examples in fixed order, and their number."""
        return self.examples(self.train_split), self.num_examples(self.train_split)

    def validation(self, decoders=None) -> tuple[tf.data.Dataset, int]:
        """Zookeeper's interface: the validation examples in fixed order, and their number."""
        return self.examples(self.validation_split), self.num_examples(self.validation_split)


def shuffled(dataset: tf.data.Dataset, buffer: int, seed: int) -> tf.data.Dataset:
    """`dataset.shuffle` whose order depends on `seed` alone and is the same in every pass.

    `shuffle` mixes TensorFlow's global seed into its own; inside a function it sees the seed of
    that function's graph instead, which is fixed here.
    """

    def shuffle(_):
        tf.random.set_seed(0)
        return dataset.shuffle(buffer, seed=seed, reshuffle_each_iteration=False)

    return tf.data.Dataset.from_tensors(0).flat_map(shuffle)


@contextlib.contextmanager
def reading(dataset: EncodedImages, copy: Path | None = None) -> Iterator[None]:
    """Turn TensorFlow's errors about files, while iterating over records, into one sentence.

    Other errors pass: of another worker or of a service, which are no fault of the data.

    Args:
        dataset: what is read.
        copy: the file that holds it, if the data set's own files are not read.
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
    """The first line of an error of TensorFlow's, without where in its graph it came from."""
    return re.sub(r"^\{\{.*?\}\}\s*", "", error.message.splitlines()[0])
