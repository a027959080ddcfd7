"""Decoding, augmentation and normalisation, as Zookeeper components.

All augmentation is stateless: an image's random numbers depend only on its `seed`, so an epoch can
be repeated, or resumed at any image. Single images are processed as bytes if possible. Whole
batches are normalised, which is several times faster for small images.

No `from __future__ import annotations` here: Zookeeper needs annotations as types, not as text.
"""

import math
from typing import Annotated, ClassVar, Tuple  # noqa: UP035 (Zookeeper's base class spells the field's type this way)

import tensorflow as tf

from training.data.photographs import PCA_EIGENVALUES, PCA_EIGENVECTORS, RandomCrops
from zoo.adapters.zookeeper import Field, component
from zoo.adapters.zookeeper_tf import Preprocessing
from zoo.errors import InvalidValueError
from zoo.images import upright
from zoo.limits import above, at_least
from zoo.preprocessing import IMAGENET_MEAN, IMAGENET_STD, centre_crop, resize, shorter_side

Positive = Annotated[float, above(0)]


class ImagePreprocessing(Preprocessing):
    """Base class: `input` is `normalise(transform(decode(image)))`, float32 of `input_shape`.

    A subclass defines `transform`. `data` is a data set's example, in training with "seed" int32
    [2].
    """

    # Whether evaluation does not transform images and `transform_batch` augments whole batches.
    # Then decoded images can be kept.
    augments_batches: ClassVar[bool] = False

    input_shape: Tuple[int, int, int] = Field()  # noqa: UP006

    @Field
    def mean(self) -> Tuple[float, ...]:  # noqa: UP006
        """Per channel, for pixel values in 0..1. ImageNet's; for one channel their average."""
        return IMAGENET_MEAN if self.input_shape[-1] == 3 else (sum(IMAGENET_MEAN) / 3,)

    @Field
    def std(self) -> Tuple[float, ...]:  # noqa: UP006
        """Per channel, for pixel values in 0..1. ImageNet's; for one channel their average."""
        return IMAGENET_STD if self.input_shape[-1] == 3 else (sum(IMAGENET_STD) / 3,)

    def check(self) -> None:
        """Raise InvalidValueError for fields that do not fit together."""
        channels = self.input_shape[-1]
        if channels not in (1, 3) or min(self.input_shape) < 1:
            raise InvalidValueError(
                f"input_shape must be (height, width, 1 or 3), not {tuple(self.input_shape)}."
            )
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) != channels:
                raise InvalidValueError(
                    f"preprocessing.{name} has {len(values)} values for {channels} channels: give "
                    "one per channel."
                )
        if min(self.std) <= 0:
            raise InvalidValueError(f"preprocessing.std must be positive, not {self.std}.")

    def decode(self, contents: tf.Tensor) -> tf.Tensor:
        """Decode a PNG or JPEG file to uint8 [h, w, c], c as in `input_shape`.

        The image is turned upright according to its EXIF data. One channel is ITU-R 601 luma in
        integers, equal to PIL's "L" (TensorFlow's conversion of a coloured PNG swaps the weights of
        green and blue). JPEG uses the accurate DCT, as PIL does; TensorFlow's default is the fast
        one.
        """
        image = tf.io.decode_jpeg(contents, channels=3, dct_method="INTEGER_ACCURATE")
        image = upright(image, contents)
        if self.input_shape[-1] == 3:
            return image
        weighted = tf.cast(image, tf.int32) * tf.constant([19595, 38470, 7471])
        luma = tf.bitwise.right_shift(tf.reduce_sum(weighted, -1, keepdims=True) + 0x8000, 16)
        return tf.cast(luma, tf.uint8)

    def transform(self, image: tf.Tensor, seed: tf.Tensor | None) -> tf.Tensor:
        """Transform uint8 [h, w, c] to uint8 or float32 (0..255) of `input_shape`.

        `seed`, int32 [2], is for augmentation; None is for evaluation.
        """
        raise NotImplementedError

    def transform_batch(self, images: tf.Tensor, draws: tf.Tensor) -> tf.Tensor:
        """Apply `transform` to each image of [b, h, w, c].

        `draws`, float32 [b, 4], are the first random numbers of each image's seed.
        """
        raise NotImplementedError

    def random_crops(self) -> RandomCrops | None:
        """Return how Pillow cuts photographs for training; None if `transform` does it instead."""
        return None

    def normalise(self, images: tf.Tensor) -> tf.Tensor:
        """Return (x / 255 - mean) / std as float32, for x in 0..255 with any leading dimensions."""
        images = tf.cast(images, tf.float32) / 255.0
        return (images - tf.constant(self.mean)) / tf.constant(self.std)

    def input(self, data: dict, training: bool = False) -> tf.Tensor:
        """Return an example's image as network input, float32 of `input_shape`."""
        return self.normalise(self.pixels(data, training))

    def pixels(self, data: dict, training: bool) -> tf.Tensor:
        """Return `input` before normalisation."""
        image = self.transform(self.decode(data["image"]), data["seed"] if training else None)
        return tf.ensure_shape(image, self.input_shape)

    def output(self, data: dict) -> tf.Tensor:
        """Return an example's label, int32 scalar."""
        return tf.cast(data["label"], tf.int32)


@component
class PadCropFlip(ImagePreprocessing):
    """CIFAR's augmentation: pad with black, crop at random, flip with probability one half.

    Padding is before normalisation, as in torchvision. Evaluation changes nothing.
    """

    augments_batches = True

    input_shape: Tuple[int, int, int] = Field((32, 32, 3))  # noqa: UP006
    padding: Annotated[int, at_least(0)] = Field(4)
    flip: bool = Field(True)

    def transform(self, image: tf.Tensor, seed: tf.Tensor | None) -> tf.Tensor:
        """Transform uint8 [h, w, c] to uint8 of `input_shape`."""
        if seed is None:
            return image
        # Check the size here: another size would be cropped now and fail later in evaluation.
        image = tf.ensure_shape(image, self.input_shape)
        return self._moved(image[None], uniform(seed, 3)[None])[0]

    def transform_batch(self, images: tf.Tensor, draws: tf.Tensor) -> tf.Tensor:
        """Apply `transform` to each image of uint8 [b, h, w, c], several times as fast."""
        return self._moved(images, draws) if self.padding or self.flip else images

    def _moved(self, images: tf.Tensor, draws: tf.Tensor) -> tf.Tensor:
        """Pad, crop and flip images [b, h, w, c] according to draws, [b, 3 or 4] in [0, 1)."""
        height, width, _ = self.input_shape
        pad = self.padding
        offsets = tf.cast(draws[:, :2] * (2 * pad + 1), tf.int32)
        rows, columns = tf.range(height), tf.range(width)
        if self.flip:
            columns = tf.where(draws[:, 2:3] < 0.5, width - 1 - columns, columns)
        images = tf.pad(images, [[0, 0], [pad, pad], [pad, pad], [0, 0]])
        images = tf.gather(images, offsets[:, :1] + rows, axis=1, batch_dims=1)
        return tf.gather(images, offsets[:, 1:2] + columns, axis=2, batch_dims=1)


@component
class RandomResizedCropFlip(ImagePreprocessing):
    """ImageNet's augmentation in ReActNet's and Bi-Real Net's code (torchvision's transforms).

    Training: take a random part of the image (`scale` of its area, aspect ratio in `ratio`), resize
    it bilinearly with antialiasing, add PCA lighting, and flip. Evaluation: resize the shorter side
    to `resize`, then take the centre.
    """

    input_shape: Tuple[int, int, int] = Field((224, 224, 3))  # noqa: UP006
    scale: Tuple[Positive, Positive] = Field((0.08, 1.0))  # noqa: UP006
    ratio: Tuple[Positive, Positive] = Field((3 / 4, 4 / 3))  # noqa: UP006
    # Standard deviation of each component's factor; 0 is off.
    lighting: Annotated[float, at_least(0)] = Field(0.1)
    flip: bool = Field(True)

    @Field
    def resize(self) -> int:
        """Shorter side before the centre crop, in pixels: 256 for an input of 224."""
        return round(min(self.input_shape[:2]) * 256 / 224)

    def check(self) -> None:
        """Raise InvalidValueError for fields that do not fit together."""
        super().check()
        if self.lighting and self.input_shape[-1] != 3:
            raise InvalidValueError(
                "PCA lighting needs three channels: set preprocessing.lighting=0."
            )
        for name, (low, high) in (("scale", self.scale), ("ratio", self.ratio)):
            if not 0 < low <= high:
                raise InvalidValueError(f"preprocessing.{name} must be 0 < low <= high.")
        if self.resize < max(self.input_shape[:2]):
            raise InvalidValueError(
                f"A resize to {self.resize} pixels is smaller than the input's "
                f"{max(self.input_shape[:2])}: give a larger preprocessing.resize."
            )

    def random_crops(self) -> RandomCrops | None:
        """Return `transform` for training as Pillow does it; None if a subclass overrides it."""
        own, ours = type(self), RandomResizedCropFlip
        if (own.transform, own.decode, own.pixels) != (ours.transform, ours.decode, ours.pixels):
            return None
        return RandomCrops(self.input_shape, self.scale, self.ratio, self.lighting, self.flip)

    def transform(self, image: tf.Tensor, seed: tf.Tensor | None) -> tf.Tensor:
        """Transform uint8 [h, w, c] to float32 (0..255) of `input_shape`."""
        size, shape = self.input_shape[:2], tf.shape(image)[:2]
        if seed is None:
            return centre_crop(resize(image, shorter_side(shape, self.resize)), size)
        draws = uniform(seed, 23)
        box = random_box(shape, draws[:22], self.scale, self.ratio)
        image = resize(tf.slice(image, [box[0], box[1], 0], [box[2], box[3], -1]), size)
        if self.lighting:
            image += lighting_shift(seed, self.lighting)
            image = tf.clip_by_value(image, 0.0, 255.0)
        return flip_if(image, draws[22]) if self.flip else image


def uniform(seed: tf.Tensor, count: int) -> tf.Tensor:
    """Return `count` numbers in [0, 1), float32, from a seed int32 [2]."""
    # Name Philox explicitly: "auto_select" may differ between a CPU and an accelerator.
    return tf.random.stateless_uniform([count], seed, alg="philox")


def flip_if(image: tf.Tensor, draw: tf.Tensor) -> tf.Tensor:
    """Mirror [h, w, c] left to right if `draw`, in [0, 1), is below one half."""
    return tf.raw_ops.Reverse(tensor=image, dims=tf.stack([False, draw < 0.5, False]))


def random_box(shape, draws, scale, ratio) -> tf.Tensor:
    """Return int32 [top, left, height, width], as torchvision's RandomResizedCrop.get_params does.

    It tries ten times an area (uniform in `scale`) and an aspect ratio (log-uniform in `ratio`).
    The first box that fits in the image, `shape` = [h, w], is placed uniformly. If no box fits, it
    takes the largest centred box with an allowed ratio. `draws`: 22 numbers in [0, 1).
    """
    size = tf.cast(shape, tf.float32)
    height, width = size[0], size[1]
    areas = height * width * (scale[0] + draws[:10] * (scale[1] - scale[0]))
    low, high = math.log(ratio[0]), math.log(ratio[1])
    ratios = tf.exp(low + draws[10:20] * (high - low))
    widths, heights = tf.round(tf.sqrt(areas * ratios)), tf.round(tf.sqrt(areas / ratios))
    fits = (widths > 0) & (widths <= width) & (heights > 0) & (heights <= height)
    first = tf.argmax(tf.cast(fits, tf.int32))
    extent = tf.stack([heights[first], widths[first]])
    corner = tf.floor(draws[20:] * (size - extent + 1))
    # If no box fits: the whole image, with its longer side cropped to the allowed ratio.
    fallback = tf.minimum(size, tf.round(tf.stack([width / ratio[0], height * ratio[1]])))
    centred = tf.floor((size - fallback) / 2)
    box = tf.where(
        tf.reduce_any(fits),
        tf.concat([corner, extent], 0),
        tf.concat([centred, fallback], 0),
    )
    return tf.cast(box, tf.int32)


def lighting_shift(seed: tf.Tensor, deviation: float) -> tf.Tensor:
    """Return AlexNet's PCA lighting: one shift per colour, float32 [3], for values in 0..255."""
    apart = tf.random.experimental.stateless_fold_in(seed, 1, alg="philox")
    alpha = tf.random.stateless_normal([3], apart, stddev=deviation, alg="philox")
    return 255.0 * tf.linalg.matvec(tf.constant(PCA_EIGENVECTORS), alpha * PCA_EIGENVALUES)
