"""From encoded examples to augmented images, without those that cannot be decoded."""

from __future__ import annotations

import math

import tensorflow as tf

from training.data.encoded import EncodedImages, reading
from training.data.preprocessing import ImagePreprocessing
from zoo.errors import DatasetError


def decoded(
    records: tf.data.Dataset, preprocessing: ImagePreprocessing, key: int | None, fetch=None
) -> tf.data.Dataset:
    """Batches, of any size, of "image" (before normalisation), "label" int32, "position" int64.

    `records` are (position int64, record). `fetch` turns a batch of records into a batch of
    examples; without it they are examples. `key`, an epoch's seed, augments; None evaluates.

    Images are decoded in chunks, each in a data set of its own whose errors are ignored. That is
    faster than one by one, and unlike `ignore_errors` on the whole it does not hide (nor hang on)
    errors in reading the data set's files.
    """

    def element(position, example):
        return {
            "image": preprocessing.pixels(example, training=key is not None),
            "label": preprocessing.output(example),
            "position": position,
        }

    shape = preprocessing.input_shape
    # Some 1 MB of pixels: enough to spread the cost of a chunk, small enough to share among cores.
    chunk = max(1, min(32, 2**20 // math.prod(shape)))

    def decode(positions, records):
        examples = fetch(records) if fetch else records
        if key is not None:
            keys = tf.fill(tf.shape(positions), key)
            seeds = tf.stack([keys, tf.cast(positions, tf.int32)], axis=1)
            examples = examples | {"seed": seeds}
        each = tf.data.Dataset.from_tensor_slices((positions, examples)).map(element)
        spec = each.element_spec
        nothing = {k: tf.zeros([0, *s.shape], s.dtype) for k, s in spec.items()}
        # Where no image of the chunk is readable, an empty one stands in for it.
        readable = each.ignore_errors().batch(chunk)
        return (
            readable.concatenate(tf.data.Dataset.from_tensors(nothing)).take(1).get_single_element()
        )

    return records.batch(chunk).map(decode, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)


def check_first_image(dataset: EncodedImages, preprocessing: ImagePreprocessing) -> None:
    """Raise DatasetError where images do not fit the network's input: they would otherwise all
    count as unreadable."""
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
            f"Images of {tuple(image.shape)} do not fit input_shape="
            f"{tuple(preprocessing.input_shape)} of {type(preprocessing).__name__}: set "
            "preprocessing.input_shape, or use RandomResizedCropFlip."
        ) from error
