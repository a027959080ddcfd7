"""Make batches from encoded images: shuffling, augmentation, exact resuming, unreadable images.

`training.data.order` defines positions and their workers. A worker's batches contain its positions
in order, without images that cannot be decoded. Therefore:

- Without unreadable images, batch s holds the positions [s * batch_size, (s + 1) * batch_size), and
  the union over all workers is the batch of a single worker.
- Each unreadable image advances its worker by one position; no image repeats within a pass.
- Restarting at `last position + 1` continues exactly, because the order depends only on (seed,
  epoch) and an image's augmentation only on (seed, epoch, position).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import tensorflow as tf

from training.data import storage
from training.data.crops_in_threads import CropsInThreads
from training.data.decoding import DecodedSplit, check_first_image, decoded
from training.data.encoded import EncodedImages, reading, shuffled, without_autotuning
from training.data.order import Order
from training.data.preprocessing import ImagePreprocessing
from training.data.service import answers, reachable
from zoo.errors import DatasetError, InvalidValueError
from zoo.files import expanded

MOST_BYTES_TO_SERVICE = 10**9  # a graph may have 2 GiB


class InputPipeline:
    """Batches for training and validation.

    Args:
        dataset, preprocessing: configured components.
        batch_size: images per step over all workers.
        seed: 0 or more; with the epoch it fixes order and augmentation.
        cache: "memory" keeps the encoded images in memory, and small images also decoded; it
            shuffles fully and restarts at once. "none" reads the data set's files in every epoch;
            "disk" reads a copy of them in `cache_dir`. Both shuffle through a buffer, and after a
            restart read (but do not decode) everything before the position. "auto" is "memory" if
            that needs at most a quarter of the available memory, else "none".
        shard: (i, n): this process is worker i of n.
        corrupt_share: more unreadable images than this share of a split raise DatasetError.
        shuffle_buffer: encoded images in the shuffle buffer of "none" and "disk".
        data_service: address, "grpc://host:port", of the dispatcher of a tf.data service that
            decodes and augments the training images. The service must have one worker, which must
            find files under the same paths. Then the batches are the same as without it.
        photographs: the library that cuts photographs for training: "tensorflow" or "pillow".
            "pillow" is faster, gives uint8 before normalisation, and cannot use a data service.

    Raises InvalidValueError for invalid values, DatasetError for an unsuitable data set.
    """

    def __init__(
        self,
        dataset: EncodedImages,
        preprocessing: ImagePreprocessing,
        *,
        batch_size: int,
        seed: int,
        cache: str = "auto",
        cache_dir: str | Path | None = None,
        shard: tuple[int, int] = (0, 1),
        corrupt_share: float = 0.001,
        shuffle_buffer: int = 16384,
        data_service: str | None = None,
        photographs: str = "tensorflow",
    ):
        self.dataset, self.preprocessing = dataset, preprocessing
        self.batch_size, self.seed, self.shard = batch_size, seed, shard
        self.corrupt_share, self.shuffle_buffer = corrupt_share, shuffle_buffer
        self.num_train = dataset.num_examples(dataset.train_split)
        self.num_validation = dataset.num_examples(dataset.validation_split)
        self.order = Order(self.num_train, batch_size, seed, shard)
        self._check_values()
        self.data_service = reachable(data_service) if data_service else None
        preprocessing.check()
        check_first_image(dataset, preprocessing)
        self.cache_dir = expanded(cache_dir) if cache_dir is not None else None
        self.cache = storage.choose_cache(cache, dataset, self.cache_dir)
        if self.data_service and self.cache == "memory":
            self._check_size_for_service()
        elif self.data_service:
            dataset.read_without_python()
        self.crops = preprocessing.random_crops() if photographs == "pillow" else None
        self._threads = CropsInThreads(self.crops) if self.crops else None
        self.local_batch_size = batch_size // shard[1]
        self.steps_per_epoch = self.num_train // batch_size
        self.validation_steps = math.ceil(self.num_validation / batch_size)
        self.corrupt: dict[str, str] = {}  # split of each unreadable image found, by name
        self._loaded: dict[str, storage.EncodedSplit] = {}
        self._decoded: dict[str, DecodedSplit] = {}
        self._seen: dict[int, int] = {}  # the next position to note, by epoch
        # Spare positions: batches stay full if no more images are unreadable than allowed.
        self._spare_steps = math.ceil(self._allowed(self.num_train) / self.local_batch_size)

    def train(self, epoch: int, position: int = 0, steps: int | None = None) -> tf.data.Dataset:
        """Return the batches of an epoch, starting at `position`.

        Each batch is a dict: "image" float32 [b, h, w, c] (uint8 before normalisation if Pillow
        cuts the images), "label" int32 [b], "position" int64 [b]; b is this worker's share of the
        batch. Store `int(batch["position"][-1]) + 1` to continue there.

        `steps`: number of batches. The default is the rest of `steps_per_epoch` after `position`,
        which is exact unless there were unreadable images before `position`.
        """
        if epoch < 0 or position < 0:
            raise InvalidValueError(f"Epoch {epoch} and position {position} must be 0 or more.")
        if steps is None:
            done = int(np.sum(self.order.own(0, position))) // self.local_batch_size
            steps = max(self.steps_per_epoch - done, 0)
        self._seen[epoch] = position
        end = (self.steps_per_epoch + self._spare_steps) * self.batch_size
        positions = position + np.flatnonzero(self.order.own(position, max(position, end)))
        key = self.order.key(epoch)
        split = self.dataset.train_split
        size = self.local_batch_size
        if whole := self._in_memory(split):
            indices = self.order.of_images(key)[positions % self.num_train]
            batches = whole.batches(self.preprocessing, positions, indices, key, size, steps)
            return self._finished(batches)
        if self.cache == "memory":
            data = self._from_memory(positions, key)
        else:
            data = self._from_stream(positions, key)
        classes, fetch = self.dataset.num_classes, self._fetch(split)
        data = decoded(data, self.preprocessing, key, fetch, classes, self._threads)
        data = data.rebatch(size, drop_remainder=True).take(steps)
        if self.data_service:
            service = tf.data.experimental.service
            off = service.ShardingPolicy.OFF  # the service's worker gives all batches in order
            data = data.apply(service.distribute(off, self.data_service))
        # Photographs are normalised on the device: float32 needs four times the memory bandwidth.
        return self._finished(data, as_pixels=self.crops is not None)

    def validation(self) -> tf.data.Dataset:
        """Return this worker's validation images once, in order; the last batch may be smaller."""
        split = self.dataset.validation_split
        own = self.order.own(0, self.num_validation)
        indices = np.flatnonzero(own)
        size = self.local_batch_size
        if whole := self._in_memory(split):
            return self._finished(whole.batches(self.preprocessing, indices, indices, None, size))
        if self.cache == "memory":
            data = tf.data.Dataset.from_tensor_slices((indices, indices))
        else:
            data = self.order.only_own(self.dataset.examples(split).enumerate())
        data = decoded(data, self.preprocessing, None, self._fetch(split), self.dataset.num_classes)
        return self._finished(data.rebatch(size))

    def reading(self, validation: bool = False) -> AbstractContextManager[None]:
        """Turn errors about files, while batches are read, into one sentence that names them."""
        copy = None
        if self.cache == "disk" and self.cache_dir and not validation:
            copy = storage.cache_file(self.dataset, self.cache_dir)
        return reading(self.dataset, copy)

    def service_fault(self) -> str | None:
        """Return a sentence if a data service is used and does not answer; else None."""
        if not self.data_service or answers(self.data_service):
            return None
        return (
            f"The data service at {self.data_service} no longer answers: start it "
            "again. The same command continues from the last checkpoint."
        )

    def note_positions(self, epoch: int, positions: np.ndarray, ended: bool = False) -> None:
        """Tell the pipeline the positions of a batch of `train(epoch)`, in order.

        Images at missing positions were unreadable; their names go into `corrupt`. Call this once
        per batch or once for several; it takes microseconds. `ended=True` means that `train` gave
        fewer batches than requested, so everything after `positions` was unreadable too.

        Raises DatasetError if more images than `corrupt_share` are unreadable.
        """
        start = self._seen.get(epoch, 0)
        if self.data_service and np.any(np.diff(positions, prepend=start - 1) <= 0):
            raise DatasetError(
                "The data service gave images out of order: it must have one worker, and this "
                "worker must not restart during an epoch. The same command continues from the "
                "last checkpoint."
            )
        last_step = self.steps_per_epoch + self._spare_steps
        end = last_step * self.batch_size if ended else int(positions[-1]) + 1
        missing = np.setdiff1d(start + np.flatnonzero(self.order.own(start, end)), positions)
        self._seen[epoch] = end
        if missing.size:
            self._note(self._train_names(epoch, missing), self.dataset.train_split)

    def note_validation(self, positions: np.ndarray) -> None:
        """Do the same for `validation`, with all positions of one complete pass."""
        own = np.flatnonzero(self.order.own(0, self.num_validation))
        missing = np.setdiff1d(own, positions)
        if missing.size:
            self._note(self.validation_names(missing), self.dataset.validation_split)

    def validation_names(self, positions: np.ndarray) -> list[str]:
        """Return the names of the validation images at sorted positions."""
        examples = self.dataset.examples(self.dataset.validation_split)
        names = examples.map(lambda example: example["name"])
        return _pick(without_autotuning(names).as_numpy_iterator(), positions)

    def order_names(self, epoch: int) -> Iterator[bytes]:
        """Yield the names of the training images in the order of `epoch`; read no image."""
        split, key = self.dataset.train_split, self.order.key(epoch)
        if self.cache == "memory":
            yield from self._load(split).names[self.order.of_images(key)]
        elif self.cache == "disk":
            names = shuffled(storage.names_on_disk(self.dataset), self.shuffle_buffer, key)
            yield from without_autotuning(names).as_numpy_iterator()
        else:
            names = self.dataset.stream_names(split, key, self.shuffle_buffer)
            yield from without_autotuning(names).as_numpy_iterator()

    # The two mechanisms ---------------------------------------------------------------------------

    def _from_memory(self, positions: np.ndarray, key: int) -> tf.data.Dataset:
        """Return pairs (position, index into the loaded split)."""
        order = self.order.of_images(key)
        return tf.data.Dataset.from_tensor_slices((positions, order[positions % self.num_train]))

    def _fetch(self, split: str):
        """Return the function from indices to examples; None if the records are examples."""
        return self._load(split).examples if self.cache == "memory" else None

    def _in_memory(self, split: str) -> DecodedSplit | None:
        """Return the split's images, decoded once; None if they cannot be kept decoded.

        They are kept if batches can be augmented as a whole and there is enough memory. Decoding
        small images in every epoch takes a tenth of the training time.
        """
        if split not in self._decoded and self.cache == "memory" and not self.data_service:
            shape = (self.dataset.num_examples(split), *self.preprocessing.input_shape)
            if self.preprocessing.augments_batches and storage.fits(2 * math.prod(shape)):
                self._decoded[split] = DecodedSplit.of(
                    self._load(split), self.preprocessing, self.dataset.num_classes
                )
        return self._decoded.get(split)

    def decoded_training_images(self) -> DecodedSplit | None:
        """Return all training images, decoded; None if they are not kept decoded in memory."""
        return self._in_memory(self.dataset.train_split)

    def encoded_training_images(self) -> storage.EncodedSplit | None:
        """Return all training images, encoded; None if they are not kept in memory."""
        return self._load(self.dataset.train_split) if self.cache == "memory" else None

    def _from_stream(self, positions: np.ndarray, key: int) -> tf.data.Dataset:
        """Return pairs (position, example), from the first of `positions`."""
        split = self.dataset.train_split
        start, end = (int(positions[0]), int(positions[-1]) + 1) if positions.size else (0, 0)
        if self.cache == "disk":
            assert self.cache_dir is not None  # choose_cache has checked this
            records = storage.on_disk(self.dataset, self.cache_dir)
            records = shuffled(records, self.shuffle_buffer, key).repeat()
            records = records.skip(start % self.num_train)
        else:
            records = self.dataset.stream(split, key, self.shuffle_buffer, start)
        return self.order.only_own(records.enumerate(start).take(end - start))

    def _finished(self, batches: tf.data.Dataset, as_pixels: bool = False) -> tf.data.Dataset:
        """Return the batches, prepared ahead; normalised, unless they stay `as_pixels`."""

        def normalised(batch):
            return batch | {"image": self.preprocessing.normalise(batch["image"])}

        if not as_pixels:
            calls = tf.data.AUTOTUNE
            batches = batches.map(normalised, num_parallel_calls=calls, deterministic=True)
        return without_autotuning(batches.prefetch(tf.data.AUTOTUNE))

    # Checks ---------------------------------------------------------------------------------------

    def _load(self, split: str) -> storage.EncodedSplit:
        if split not in self._loaded:
            self._loaded[split] = storage.load(self.dataset, split)
        return self._loaded[split]

    def _check_values(self) -> None:
        if self.shuffle_buffer < 1:
            raise InvalidValueError(f"shuffle_buffer={self.shuffle_buffer} must be 1 or more.")
        if not 0 <= self.corrupt_share < 1:
            raise InvalidValueError(f"corrupt_share={self.corrupt_share} must lie in [0, 1).")

    def _check_size_for_service(self) -> None:
        """Raise InvalidValueError if the images in memory are too large for the service.

        They are sent to the service as a part of the data set's graph.
        """
        size = self.dataset.encoded_bytes(self.dataset.train_split)
        if size > MOST_BYTES_TO_SERVICE:
            raise InvalidValueError(
                f"{size / 1e9:.1f} GB of encoded images in memory are too large to send to "
                "data_service: use cache=none, with the data set's files at the same path on that "
                "host."
            )

    def _allowed(self, count: int) -> int:
        return math.ceil(self.corrupt_share * count)

    def _train_names(self, epoch: int, positions: np.ndarray) -> list[str]:
        return _pick(self.order_names(epoch), np.unique(positions % self.num_train))

    def _note(self, names: list[str], split: str) -> None:
        self.corrupt.update(dict.fromkeys(names, split))
        found = [name for name, where in self.corrupt.items() if where == split]
        count = self.dataset.num_examples(split)
        if len(found) > self._allowed(count):
            shown = ", ".join(map(self.described, found[:3]))
            raise DatasetError(
                f"{len(found)} of {count} images ({split}) are missing, cannot be decoded or have "
                f"an invalid label, more than a fraction of {self.corrupt_share}, including "
                f"{shown}: replace or remove them, or give a larger corrupt_share."
            )

    def described(self, name: str) -> str:
        """Return an unreadable image's name, with the reason if it is known."""
        reason = self.dataset.why_unusable(name)
        return f"{name} ({reason})" if reason else name


def _pick(names: Iterator[bytes], indices: np.ndarray) -> list[str]:
    """Return the names at sorted `indices`; stop reading after the last one."""
    upto = itertools.islice(names, int(indices[-1]) + 1)
    wanted = set(indices.tolist())
    return [name.decode(errors="replace") for i, name in enumerate(upto) if i in wanted]
