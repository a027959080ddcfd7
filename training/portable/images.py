"""A program's images in few files: small ones as lossless WebP pictures of many images each (about
half of their bytes), photographs as unchanged files, one after the other."""

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

from training.data.photographs import RandomCrops
from training.data.pipeline import InputPipeline
from training.data.preprocessing import PadCropFlip
from zoo.errors import InvalidValueError

MOST_PIXELS = 16383  # of a side of a WebP picture


@dataclass(frozen=True)
class ProgramImages:
    """A program's training images.

    Attributes:
        suffix: of the images' files.
        parts: gives, for the size that no file should exceed, each file's bytes and how many images
            it holds.
        tables: labels int32 [n], and arrays by which the script reads the images.
        settings: of the manifest: how the script cuts the images.
        pixels: type of the images that the step takes.
    """

    suffix: str
    parts: Callable[[int], Iterator[tuple[bytes, int]]]
    tables: dict[str, np.ndarray]
    settings: dict[str, Any]
    pixels: tf.DType

    @classmethod
    def of(cls, pipeline: InputPipeline) -> ProgramImages:
        """Those of a stage.

        Raises:
            InvalidValueError: there is no program of such images.
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
        readable = 0
        for i in track(good, "Checking the photographs", transient=True):
            readable += len(crops.pixels([files[i]], 0, np.array([i]))[1])
        _refuse_unreadable(len(files) - readable)
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
    """Pictures whose files do not exceed `most_bytes`.

    Args:
        images: uint8 [n, h, w, 1 or 3].
        most_bytes: of one file; a file holds a row of images at least.

    Yields:
        The bytes of a WebP file, and how many images it holds, row by row.
    """
    from PIL import Image

    _, height, width, channels = images.shape
    columns = max(1, min(MOST_PIXELS // width, 100))
    # WebP codes three channels; of noise it takes a little more than their bytes.
    rows = max(1, most_bytes // (columns * height * width * 4))
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
    """The contents of image files, one after the other.

    Args:
        files: in order.
        most_bytes: of one part, but where a single file is larger.

    Yields:
        The bytes of a part, and how many files it holds.
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
