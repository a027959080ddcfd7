"""Pack a program's images into few files.

Small images become lossless WebP pictures of many images each (about half of their bytes).
Photographs are concatenated unchanged.
"""

from __future__ import annotations

import dataclasses
import io
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from rich.progress import track

from training.data.photographs import RandomCrops, readable
from training.data.pipeline import InputPipeline
from training.data.preprocessing import PadCropFlip
from zoo.errors import InvalidValueError

MOST_PIXELS = 16383  # maximum side of a WebP picture


@dataclass(frozen=True)
class ProgramImages:
    """A program's training images.

    Attributes:
        suffix: suffix of the images' files.
        parts: takes the maximum size of a file; yields each file's bytes and its number of images.
        tables: labels int32 [n], and arrays that the script needs to read the images.
        settings: entries of the manifest that say how the script cuts the images.
        pixels: dtype of the images that the step takes.
    """

    suffix: str
    parts: Callable[[int], Iterator[tuple[bytes, int]]]
    tables: dict[str, np.ndarray]
    settings: dict[str, Any]
    pixels: tf.DType

    @classmethod
    def of(cls, pipeline: InputPipeline) -> ProgramImages:
        """Return the images of a stage.

        Raises:
            InvalidValueError: programs do not support images of this kind.
        """
        if type(pipeline.preprocessing) is PadCropFlip:
            return cls._small(pipeline, pipeline.preprocessing)
        if pipeline.crops:
            return cls._photographs(pipeline, pipeline.crops)
        raise InvalidValueError(
            "A program supports small images, with preprocessing=PadCropFlip, or photographs, with "
            f"preprocessing=RandomResizedCropFlip, not {type(pipeline.preprocessing).__name__}."
        )

    @classmethod
    def _small(cls, pipeline: InputPipeline, preprocessing: PadCropFlip) -> ProgramImages:
        images = pipeline.decoded_training_images()
        if images is None:
            raise _not_in_memory()
        _refuse_unreadable(int(np.count_nonzero(~images.readable)))
        pixels = images.pixels.numpy()
        values = np.tile(np.arange(256, dtype=np.float32)[:, None], (1, pixels.shape[-1]))
        tables = {
            "labels": images.labels.numpy(),
            "normalised": preprocessing.normalise(values).numpy(),
        }
        cuts = {"padding": preprocessing.padding, "flip": preprocessing.flip, "photographs": None}
        return cls("webp", lambda most: packed(pixels, most), tables, cuts, tf.float32)

    @classmethod
    def _photographs(cls, pipeline: InputPipeline, crops: RandomCrops) -> ProgramImages:
        encoded = pipeline.encoded_training_images()
        if encoded is None:
            raise _not_in_memory()
        files = encoded.images.numpy()
        labels = encoded.labels.numpy()
        good = np.flatnonzero((labels >= 0) & (labels < pipeline.dataset.num_classes))
        checked = track(good, "Checking the photographs", transient=True)
        _refuse_unreadable(len(files) - sum(readable(files[i]) for i in checked))
        tables = {
            "labels": labels.astype(np.int32),
            "photograph_sizes": np.array([len(content) for content in files], np.int64),
        }
        settings = dataclasses.asdict(crops)
        del settings["shape"]
        cuts = {"padding": 0, "flip": False, "photographs": settings}
        return cls("photographs", lambda most: joined(files, most), tables, cuts, tf.uint8)


def _not_in_memory() -> InvalidValueError:
    return InvalidValueError(
        "A program needs images that fit into memory, but this run reads them from the disk in "
        "every epoch: give cache=memory, if there is room."
    )


def _refuse_unreadable(count: int) -> None:
    if count:
        raise InvalidValueError(
            f"{count} training images cannot be decoded, and a program cannot skip images: remove "
            "them."
        )


def packed(images: np.ndarray, most_bytes: int) -> Iterator[tuple[bytes, int]]:
    """Yield WebP files of at most `most_bytes`, with many images each.

    Args:
        images: uint8 [n, h, w, 1 or 3].
        most_bytes: maximum size of a file; but a file holds at least one image.

    Yields:
        The bytes of a WebP file, and its number of images; the images are in rows.
    """
    from PIL import Image

    _, height, width, channels = images.shape
    # WebP stores three channels; noise needs a little more than its raw bytes, so assume four.
    most_images = most_bytes // (height * width * 4)
    columns = max(1, min(MOST_PIXELS // width, 100, most_images))
    rows = max(1, most_images // columns)
    each = columns * min(rows, MOST_PIXELS // height)
    for start in range(0, len(images), each):
        part = images[start : start + each]
        count = len(part)
        rows = math.ceil(count / columns)
        grid = np.zeros((rows * columns, *images.shape[1:]), np.uint8)
        grid[:count] = part
        grid = grid.reshape(rows, columns, height, width, channels).swapaxes(1, 2)
        picture = grid.reshape(rows * height, columns * width, channels)
        if channels == 1:
            picture = picture.repeat(3, axis=2)
        content = io.BytesIO()
        Image.fromarray(picture).save(content, "WEBP", lossless=True, quality=50, method=4)
        yield content.getvalue(), count


def joined(files: Iterable[bytes], most_bytes: int) -> Iterator[tuple[bytes, int]]:
    """Yield parts of concatenated image files.

    Args:
        files: contents of the image files, in order.
        most_bytes: maximum size of a part; a single larger file is a part by itself.

    Yields:
        The bytes of a part, and its number of files.
    """
    part: list[bytes] = []
    size = 0
    for content in files:
        if part and size + len(content) > most_bytes:
            yield b"".join(part), len(part)
            part, size = [], 0
        part.append(content)
        size += len(content)
    if part:
        yield b"".join(part), len(part)
