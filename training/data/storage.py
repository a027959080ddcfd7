"""Keep encoded images between epochs: in memory, in a copy on disk, or in the data set's files."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import filelock
import numpy as np
import psutil
import tensorflow as tf

from training.data.encoded import EncodedImages, reading, without_autotuning
from zoo.errors import DatasetError, FileError, InvalidValueError
from zoo.files import draft_of, existing_part, is_writable, remove_drafts, write_json
from zoo.untrusted.opening import read_text

# The order of a copy on disk: the same for all runs, with any seeds and buffers.
COPY_SEED, COPY_BUFFER = 0, 4096
READ_TOGETHER = 64  # records per read
# Seconds between two checks of another process's copy, and until a copy that stops growing fails.
LOOK_EVERY, MOST_STILL = 5.0, 600.0


@dataclass(frozen=True)
class EncodedSplit:
    """A split in memory: images string [n] (still encoded), labels int64 [n], names string [n]."""

    images: tf.Tensor
    labels: tf.Tensor
    names: np.ndarray

    def examples(self, indices: tf.Tensor) -> dict[str, tf.Tensor]:
        """Return the examples at some indices, as a batch."""
        return {"image": tf.gather(self.images, indices), "label": tf.gather(self.labels, indices)}


def choose_cache(cache: str, dataset: EncodedImages, cache_dir: Path | None) -> str:
    """Return `cache` with "auto" resolved to "memory" or "none"; check memory and disk space.

    "auto" is "memory" if both splits' encoded images fit in a quarter of the available memory.
    "memory" needs twice their size for a short time, while they are joined to one tensor. "disk"
    needs `cache_dir` and space for the training images there.
    """
    train = dataset.encoded_bytes(dataset.train_split)
    total = train + dataset.encoded_bytes(dataset.validation_split)
    available = psutil.virtual_memory().available
    if cache == "auto":
        return "memory" if fits(total) else "none"
    if cache == "memory" and 2 * total > available:
        raise InvalidValueError(
            f"cache=memory needs {_size(2 * total)} while loading {_size(total)} of encoded "
            f"images, and {_size(available)} is available: use cache=none (read the data set's "
            "files in every epoch) or cache=disk with cache_dir=FOLDER (on a faster disk)."
        )
    if cache == "disk":
        if cache_dir is None:
            raise InvalidValueError("cache=disk needs cache_dir=FOLDER, or use cache=none.")
        place = existing_part(cache_dir)
        if not place.is_dir() or not is_writable(place):
            why = f"{place} cannot be written to" if place.is_dir() else f"{place} is a file"
            raise InvalidValueError(f"The folder cache_dir={cache_dir} cannot be created: {why}.")
        free = shutil.disk_usage(place).free
        if train > free and not _is_complete(cache_file(dataset, cache_dir)):
            raise InvalidValueError(
                f"cache=disk needs {_size(train)} in {cache_dir}, which has {_size(free)} free: "
                "give another cache_dir or use cache=none."
            )
    return cache


def fits(count: int) -> bool:
    """Return whether `count` bytes are at most a quarter of the available memory."""
    return count <= psutil.virtual_memory().available // 4


def load(dataset: EncodedImages, split: str) -> EncodedSplit:
    """Read a split's encoded images into memory, in the data set's fixed order."""
    with tf.device("/CPU:0"), reading(dataset):
        batches = list(dataset.examples(split).batch(1024))
        images, labels, names = (
            tf.concat([batch[key] for batch in batches], 0) for key in ("image", "label", "name")
        )
        return EncodedSplit(images, labels, names.numpy())


def on_disk(dataset: EncodedImages, cache_dir: Path) -> tf.data.Dataset:
    """Return the training examples from a copy in `cache_dir`; make the copy if it is missing.

    The copy has a fixed shuffled order, so that all runs share it. The checksum of each record is
    checked when it is read.

    Raises:
        DatasetError: the copy cannot be written, or another process has stopped writing it.
    """
    path = cache_file(dataset, cache_dir)
    cache_dir.mkdir(parents=True, exist_ok=True)
    with _lock(path):
        if not _is_complete(path):
            remove_drafts(cache_dir, re.compile(re.escape(path.name)))
            _copy(dataset, path)
    records = tf.data.TFRecordDataset(str(path)).batch(READ_TOGETHER)
    parsed = records.map(_parse, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    return parsed.unbatch()


def _copy(dataset: EncodedImages, path: Path) -> None:
    """Write the training examples to `path`, and the size of that file to a note beside it."""
    count = dataset.num_examples(dataset.train_split)
    records = dataset.stream(dataset.train_split, COPY_SEED, COPY_BUFFER).take(count)
    draft = draft_of(path)
    try:
        with reading(dataset), tf.io.TFRecordWriter(str(draft)) as writer:
            for example in without_autotuning(records).as_numpy_iterator():
                writer.write(_serialised(example))
        with draft.open("rb+") as file:
            os.fsync(file.fileno())
        draft.replace(path)
        write_json(_note_of(path), {"bytes": path.stat().st_size})
    except (OSError, tf.errors.OpError) as error:
        text = getattr(error, "strerror", None) or str(getattr(error, "message", error))
        raise DatasetError(
            f"The copy of the images '{path}' cannot be written ({text.splitlines()[0]}): make "
            "room, give another cache_dir, or use cache=none."
        ) from error
    finally:
        draft.unlink(missing_ok=True)


def _serialised(example: dict[str, Any]) -> bytes:
    features = {
        "image": tf.train.Feature(bytes_list=tf.train.BytesList(value=[example["image"]])),
        "label": tf.train.Feature(int64_list=tf.train.Int64List(value=[int(example["label"])])),
        "name": tf.train.Feature(bytes_list=tf.train.BytesList(value=[example["name"]])),
    }
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()


def _parse(records: tf.Tensor) -> dict[str, tf.Tensor]:
    text = tf.io.FixedLenFeature((), tf.string)
    number = tf.io.FixedLenFeature((), tf.int64)
    return tf.io.parse_example(records, {"image": text, "label": number, "name": text})


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Let only one process make the copy; the others wait as long as the copy grows."""
    lock = filelock.FileLock(path.with_name(f".{path.name}.lock"))
    size, since = -1, time.monotonic()
    while True:
        try:
            lock.acquire(timeout=LOOK_EVERY)
            break
        except filelock.Timeout:
            drafts = [*path.parent.glob(f".{path.name}.*[0-9]"), path]
            now = sum(each.stat().st_size for each in drafts if each.is_file())
            if now != size:
                size, since = now, time.monotonic()
            elif time.monotonic() - since > MOST_STILL:
                raise DatasetError(
                    f"Another process is writing the copy '{path}' but has written nothing for "
                    f"{MOST_STILL / 60:.0f} minutes: stop it, or give another cache_dir."
                ) from None
    try:
        yield
    finally:
        lock.release()


def names_on_disk(dataset: EncodedImages) -> tf.data.Dataset:
    """Return the names of `on_disk`, without reading an image."""
    return dataset.stream_names(dataset.train_split, COPY_SEED, COPY_BUFFER)


def cache_file(dataset: EncodedImages, cache_dir: Path) -> Path:
    """Return the copy's path; the name differs for another data set and after a change."""
    identity = dataset.identity(dataset.train_split)
    digest = hashlib.sha256("\n".join(identity).encode()).hexdigest()[:16]
    return cache_dir / f"{type(dataset).__name__}-{digest}.tfrecord"


def _note_of(path: Path) -> Path:
    return path.with_suffix(".json")


def _is_complete(path: Path) -> bool:
    """Return whether the copy exists with the size that was noted when it was written."""
    try:
        note = json.loads(read_text(_note_of(path)))
        return path.is_file() and path.stat().st_size == note["bytes"]
    except (FileError, OSError, ValueError, KeyError, TypeError, RecursionError):
        return False


def _size(count: int) -> str:
    power = min(max(len(str(count)) - 1, 0) // 3, 4)
    return f"{count / 1000**power:.3g} {('bytes', 'kB', 'MB', 'GB', 'TB')[power]}"
