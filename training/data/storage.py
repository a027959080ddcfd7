"""Where encoded images wait between epochs: in memory, in a file, or where they are."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import dataclass
from pathlib import Path

import filelock
import numpy as np
import psutil
import tensorflow as tf

from training.data.encoded import EncodedImages, reading
from zoo.errors import InvalidValueError

# The order of a copy on disk: one for all runs, whatever their seeds and buffers.
COPY_SEED, COPY_BUFFER = 0, 4096
CACHES = ("auto", "none", "memory", "disk")


@dataclass(frozen=True)
class EncodedSplit:
    """A split in memory: images string [n] (still encoded), labels int64 [n], names string [n]."""

    images: tf.Tensor
    labels: tf.Tensor
    names: np.ndarray

    def examples(self, indices: tf.Tensor) -> dict[str, tf.Tensor]:
        """The examples at some indices, as a batch."""
        return {"image": tf.gather(self.images, indices), "label": tf.gather(self.labels, indices)}


def choose_cache(cache: str, dataset: EncodedImages, cache_dir: Path | None) -> str:
    """`cache` with "auto" resolved to "memory" or "none"; checks what the machine has room for.

    "auto" is "memory" when both splits' encoded images fit into a quarter of the available memory.
    "memory" needs twice their size for a moment, while they are gathered into one tensor. "disk"
    needs `cache_dir` and room for the training images there.
    """
    if cache not in CACHES:
        raise InvalidValueError(f"cache is '{cache}': give one of {', '.join(CACHES)}.")
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
        try:
            cache_dir.mkdir(parents=True, exist_ok=True)
        except FileExistsError:
            raise InvalidValueError(f"cache_dir={cache_dir} is a file: give a folder.") from None
        free = shutil.disk_usage(cache_dir).free
        if train > free and not _is_complete(_cache_file(dataset, cache_dir)):
            raise InvalidValueError(
                f"cache=disk needs {_size(train)} in {cache_dir}, where {_size(free)} is free: "
                "give another cache_dir or use cache=none."
            )
    return cache


def fits(count: int) -> bool:
    """Whether so many bytes are a quarter of the available memory at most."""
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
    """The training examples from a copy in `cache_dir`, which is made now unless it is there.

    The copy is in one shuffled order, so that all runs share it.
    """
    path = _cache_file(dataset, cache_dir)
    records = dataset.stream(dataset.train_split, COPY_SEED, COPY_BUFFER)
    cached = records.take(dataset.num_examples(dataset.train_split)).cache(str(path))
    with filelock.FileLock(cache_dir / f".{path.name}.lock"):
        if not _is_complete(path):
            for leftover in cache_dir.glob(f"{path.name}*"):  # of a run that was stopped
                leftover.unlink()
            with reading(dataset):
                for _ in cached.batch(256):
                    pass
    return cached


def names_on_disk(dataset: EncodedImages) -> tf.data.Dataset:
    """The names of `on_disk`, without reading an image."""
    return dataset.stream_names(dataset.train_split, COPY_SEED, COPY_BUFFER)


def _cache_file(dataset: EncodedImages, cache_dir: Path) -> Path:
    """Where the copy lies: the name tells data sets apart, and a data set that has changed."""
    identity = dataset.identity(dataset.train_split)
    digest = hashlib.sha256("\n".join(identity).encode()).hexdigest()[:16]
    return cache_dir / f"{type(dataset).__name__}-{digest}"


def _is_complete(path: Path) -> bool:
    return path.with_name(path.name + ".index").exists()  # TensorFlow writes it last


def _size(count: int) -> str:
    power = min(max(len(str(count)) - 1, 0) // 3, 4)
    return f"{count / 1000**power:.3g} {('bytes', 'kB', 'MB', 'GB', 'TB')[power]}"
