"""Read image files as upright pixels, in the formats that TensorFlow or Pillow reads.

Cameras store the sensor's image, and its rotation in the EXIF data. Every reader of this project
applies the rotation. Importing this imports no TensorFlow.
"""

from __future__ import annotations

import functools
import io
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import tensorflow as tf

# Suffixes of image files. The format of a file is determined by its first bytes.
NATIVE_SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif", ".png")
PILLOW_SUFFIXES = (
    ".bmp",
    ".dib",
    ".gif",
    ".webp",
    ".tif",
    ".tiff",
    ".ppm",
    ".pgm",
    ".pbm",
    ".pnm",
)
SUFFIXES = NATIVE_SUFFIXES + PILLOW_SUFFIXES
FORMATS = "JPEG, PNG, BMP, GIF (first frame), WebP, TIFF or PNM"

JPEG, PNG = b"\xff\xd8\xff", b"\x89PNG"
HEADER = 2**16  # the orientation is searched in this many bytes at the start of a file
MOST_PARTS, MOST_TAGS = 256, 512
ORIENTATION = 0x0112  # EXIF's tag


def as_png(contents: bytes) -> bytes:
    """Return the bytes of a JPEG or PNG file unchanged; convert other images to PNG with Pillow.

    The conversion takes the first frame, makes it upright, and keeps the upper 8 of 16 bits. Bytes
    that Pillow cannot read are returned unchanged.
    """
    if contents.startswith((JPEG, PNG)):
        return contents
    import numpy as np
    from PIL import Image, ImageOps

    try:
        with Image.open(io.BytesIO(contents)) as opened:
            image: Image.Image = ImageOps.exif_transpose(opened)
            if image.mode.startswith("I"):  # 16-bit values; Pillow would clip them to 255
                image = Image.fromarray((np.asarray(image).astype(np.uint32) >> 8).astype(np.uint8))
            png = io.BytesIO()
            image.convert("L" if image.mode in ("1", "L") else "RGB").save(png, "PNG")
            return png.getvalue()
    except Exception:  # Pillow raises many classes for damaged files; the reader reports them
        return contents


def is_native(contents: tf.Tensor) -> tf.Tensor:
    """Return whether `contents`, a string scalar, is a JPEG or PNG file."""
    import tensorflow as tf

    starts = [tf.strings.substr(contents, 0, len(mark)) == mark for mark in (JPEG, PNG)]
    return starts[0] | starts[1]


def upright(image: tf.Tensor, contents: tf.Tensor) -> tf.Tensor:
    """Rotate an image [h, w, c], decoded from a JPEG or PNG file, as the EXIF data say."""
    import tensorflow as tf

    head = tf.strings.substr(contents, 0, HEADER)

    def turned() -> tf.Tensor:
        found = _search()(head)
        # From 5 on the image is transposed; then it is mirrored left to right, then top to bottom.
        axes = tf.where(found >= 5, tf.constant([1, 0, 2]), tf.constant([0, 1, 2]))
        left_right = tf.reduce_any(found == tf.constant([2, 3, 6, 7]))
        top_bottom = tf.reduce_any(found == tf.constant([3, 4, 7, 8]))
        dims = tf.stack([top_bottom, left_right, False])
        return tf.raw_ops.Reverse(tensor=tf.transpose(image, axes), dims=dims)

    return tf.cond(_names_exif(head), turned, lambda: image)


def orientation(contents: tf.Tensor) -> tf.Tensor:
    """Return the EXIF orientation of a JPEG or PNG file, int32: 1 to 8, or 0 if it has none.

    It uses TensorFlow's operations, so it can run in the graph of a data set.
    """
    import tensorflow as tf

    return _search()(tf.strings.substr(contents, 0, HEADER))


@functools.cache
def _search() -> Callable[[tf.Tensor], tf.Tensor]:
    """Return `_orientation` as a graph: made once for all data sets, as it takes up to a second."""
    import tensorflow as tf

    return tf.function(_orientation, [tf.TensorSpec([], tf.string)], autograph=False)


def _names_exif(head: tf.Tensor) -> tf.Tensor:
    """Return whether the start of a file may contain EXIF data; a fast check, as most have none."""
    import tensorflow as tf

    return tf.strings.regex_full_match(head, r"\C*(Exif\x00|eXIf)\C*")


def _orientation(head: tf.Tensor) -> tf.Tensor:
    """Search the first bytes of a file, a string scalar, for EXIF's orientation; 0 if none."""
    import tensorflow as tf

    head = tf.io.decode_raw(head, tf.uint8)
    # Reads beyond the end return zeros.
    data = tf.concat([tf.cast(head, tf.int64), tf.zeros([8], tf.int64)], 0)
    last = tf.size(data, tf.int64) - 8

    def at(position: tf.Tensor, count: int, little: tf.Tensor | bool = False) -> tf.Tensor:
        """Return whole numbers of `count` bytes at `position`, a tensor of any shape."""
        places = tf.clip_by_value(position, 0, last)[..., None] + tf.range(count, dtype=tf.int64)
        values = tf.gather(data, places)
        values = tf.where(little, tf.reverse(values, [-1]), values)
        weights = tf.constant([256**i for i in reversed(range(count))], tf.int64)
        return tf.reduce_sum(values * weights, -1)

    zero, none = tf.constant(0, tf.int64), tf.constant(-1, tf.int64)

    def jpeg_part(position: tf.Tensor, _: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        marker = at(position, 2)
        exif = (marker == 0xFFE1) & (at(position + 4, 4) == 0x45786966)
        ends = (marker < 0xFFC0) | (marker == 0xFFDA) | (marker == 0xFFD9)
        following = tf.where(marker == 0xFFFF, position + 1, position + 2 + at(position + 2, 2))
        return tf.where(ends, last, following), tf.where(exif, position + 10, none)

    def png_part(position: tf.Tensor, _: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        kind = at(position + 4, 4)
        exif, ends = kind == 0x65584966, (kind == 0x49444154) | (kind == 0x49454E44)
        following = position + 12 + at(position, 4)
        return tf.where(ends, last, following), tf.where(exif, position + 8, none)

    jpeg, png = at(zero, 2) == 0xFFD8, at(zero, 4) == 0x89504E47
    start = tf.where(jpeg, zero + 2, tf.where(png, zero + 8, last))
    _, base = tf.while_loop(
        lambda position, found: (position < last) & (found < 0),
        lambda position, found: tf.cond(
            jpeg, lambda: jpeg_part(position, found), lambda: png_part(position, found)
        ),
        (start, none),
        maximum_iterations=MOST_PARTS,
    )

    def from_tags() -> tf.Tensor:
        little = at(base, 2) == 0x4949
        directory = base + at(base + 4, 4, little)
        count = tf.minimum(at(directory, 2, little), MOST_TAGS)
        entries = directory + 2 + 12 * tf.range(count)
        short = at(entries + 2, 2, little) == 3
        values = tf.where(short, at(entries + 8, 2, little), at(entries + 8, 4, little))
        ours = (at(entries, 2, little) == ORIENTATION) & (values >= 1) & (values <= 8)
        return tf.cast(tf.reduce_max(tf.where(ours, values, 0), 0), tf.int32)

    # Without entries, reduce_max returns the lowest number.
    found = tf.cond(base >= 0, from_tags, lambda: tf.constant(0))
    return tf.maximum(found, 0)
