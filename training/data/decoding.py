"""Decode and augment examples; leave out images that cannot be decoded."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from training.data.crops_in_threads import CHUNK, CropsInThreads
from training.data.encoded import EncodedImages, reading, without_autotuning
from training.data.philox import uniform
from training.data.preprocessing import ImagePreprocessing
from training.data.storage import EncodedSplit
from zoo.errors import DatasetError


def decoded(
    records: tf.data.Dataset,
    preprocessing: ImagePreprocessing,
    key: int | None,
    fetch: Callable | None = None,
    classes: int | None = None,
    crops: CropsInThreads | None = None,
) -> tf.data.Dataset:
    """Return batches of any size: "image" (before normalisation), "label" int32, "position" int64.

    `records` are (position int64, record). `fetch` converts a batch of records to a batch of
    examples; without `fetch` the records are examples. `key` is an epoch's seed for augmentation;
    None is for evaluation. An image with a label outside [0, `classes`) is left out like an image
    that cannot be decoded. With `crops`, Pillow cuts the images, to uint8.

    Images are decoded in chunks. Each chunk is a separate data set that ignores errors. That is
    faster than one by one. `ignore_errors` on the whole data set would also hide errors in reading
    the data set's files, or hang on them.
    """

    def element(position, example):
        return {
            "image": preprocessing.pixels(example, training=key is not None),
            "label": preprocessing.output(example),
            "position": position,
        }

    shape = preprocessing.input_shape
    # About 1 MB of pixels: large enough that a chunk's overhead is small, and small enough to
    # share the work among cores.
    chunk = max(1, min(32, 2**20 // math.prod(shape)))

    def fetched(positions, records):
        examples = fetch(records) if fetch else records
        if classes is not None:
            labels = tf.cast(examples["label"], tf.int64)
            known = (labels >= 0) & (labels < classes)
            positions = tf.boolean_mask(positions, known)
            examples = {k: tf.boolean_mask(each, known) for k, each in examples.items()}
        return positions, examples

    def encoded(positions, records):
        positions, examples = fetched(positions, records)
        labels = preprocessing.output(examples)
        return {"image": examples["image"], "label": labels, "position": positions}

    def decode(positions, records):
        positions, examples = fetched(positions, records)
        if key is not None:
            keys = tf.fill(tf.shape(positions), key)
            seeds = tf.stack([keys, tf.cast(positions, tf.int32)], axis=1)
            examples = examples | {"seed": seeds}
        each = tf.data.Dataset.from_tensor_slices((positions, examples)).map(element)
        spec = each.element_spec
        nothing = {k: tf.zeros([0, *s.shape], s.dtype) for k, s in spec.items()}
        # If no image of the chunk is readable, use an empty chunk instead.
        readable = each.ignore_errors().batch(chunk)
        return (
            readable.concatenate(tf.data.Dataset.from_tensors(nothing)).take(1).get_single_element()
        )

    if crops is not None and key is not None:
        return crops.of(records.batch(CHUNK).map(encoded), key)
    return records.batch(chunk).map(decode, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)


@dataclass(frozen=True)
class DecodedSplit:
    """A split's decoded images in memory, preprocessed as for evaluation.

    Attributes:
        pixels: uint8 [n, *input_shape]; zeros for images that cannot be decoded.
        labels: int32 [n].
        readable: which images can be decoded, bool [n].
    """

    pixels: tf.Tensor
    labels: tf.Tensor
    readable: np.ndarray

    @classmethod
    def of(
        cls, encoded: EncodedSplit, preprocessing: ImagePreprocessing, classes: int | None = None
    ) -> DecodedSplit:
        """Decode all images of a split."""
        indices = np.arange(len(encoded.names))
        readable = np.zeros(indices.shape, bool)
        pixels = np.zeros((*indices.shape, *preprocessing.input_shape), np.uint8)
        data = tf.data.Dataset.from_tensor_slices((indices, indices))
        batches = decoded(data, preprocessing, None, encoded.examples, classes)
        for batch in without_autotuning(batches).as_numpy_iterator():
            readable[batch["position"]] = True
            pixels[batch["position"]] = batch["image"]
        with tf.device("/CPU:0"):
            labels = preprocessing.output({"label": encoded.labels})
            return cls(tf.constant(pixels), labels, readable)

    def batches(
        self,
        preprocessing: ImagePreprocessing,
        positions: np.ndarray,
        indices: np.ndarray,
        key: int | None,
        size: int,
        steps: int | None = None,
    ) -> tf.data.Dataset:
        """Return the batches that `decoded` and `rebatch(size)` would give.

        Args:
            positions, indices: each image's position in the epoch and index in this split.
            key: the epoch's seed for augmentation; None does not augment.
            steps: maximum number of full batches; None for all images, and then the last batch
                may be smaller.
        """
        kept = self.readable[indices]
        positions, indices = positions[kept], indices[kept]
        if steps is not None:
            count = min(steps, len(positions) // size) * size
            positions, indices = positions[:count], indices[:count]

        draws = uniform(key or 0, positions)

        def batch(
            positions: tf.Tensor, indices: tf.Tensor, draws: tf.Tensor
        ) -> dict[str, tf.Tensor]:
            images = tf.gather(self.pixels, indices)
            if key is not None:
                images = preprocessing.transform_batch(images, draws)
            images = tf.ensure_shape(images, [None, *preprocessing.input_shape])
            labels = tf.gather(self.labels, indices)
            return {"image": images, "label": labels, "position": positions}

        data = tf.data.Dataset.from_tensor_slices((positions, indices, draws)).batch(size)
        return data.map(batch, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)


def check_first_image(dataset: EncodedImages, preprocessing: ImagePreprocessing) -> None:
    """Raise DatasetError if the first image does not fit the network's input.

    Without this check every image would count as unreadable.
    """
    with reading(dataset):
        example = next(iter(dataset.examples(dataset.train_split).take(1)))
    try:
        image = preprocessing.decode(example["image"])
    except tf.errors.OpError:
        return  # the first image itself is unreadable
    try:
        preprocessing.pixels(example | {"seed": tf.zeros(2, tf.int32)}, training=True)
        preprocessing.pixels(example, training=False)
    except (tf.errors.OpError, ValueError) as error:
        raise DatasetError(
            f"Images of {_size(image.shape)} do not have the size that "
            f"{type(preprocessing).__name__} needs, {_size(preprocessing.input_shape)}: set "
            "preprocessing.input_shape, or preprocessing=RandomResizedCropFlip."
        ) from error


def _size(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape))
