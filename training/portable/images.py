"""Images as lossless WebP pictures of many images each: about half of their bytes."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator

import numpy as np

MOST_PIXELS = 16383  # of a side of a WebP picture


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
