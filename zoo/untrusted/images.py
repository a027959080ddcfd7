"""Image files: what they declare is checked before they are decoded."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import zoo.images
from zoo.errors import FileError, printable
from zoo.untrusted.opening import read_bytes, require_memory, unsafe

MOST_FILE = 256 * 2**20
MOST_PIXELS = 2**27
MOST_ASPECT = 100  # times as long as wide: networks scale the shorter side to theirs
FORMATS = ("PNG", "JPEG", "GIF", "BMP", "DIB", "WEBP", "TIFF", "PPM")
ALWAYS_THERE = 2**26  # bytes: looking how much memory is free takes longer than reading an image
PER_PIXEL = 15  # bytes: three colours as uint8, and scaled as float32


def read_image_file(path: str | Path) -> bytes:
    """The content of an image file, of the formats of `zoo.images`, that declares a sensible size.

    Raises:
        FileError: it is no regular file, is too large, declares an absurd size, or is no image.
    """
    content = read_bytes(path, MOST_FILE)
    check_declared_size(content, path)
    return content


def check_declared_size(content: bytes, path: str | Path) -> None:
    """Raise FileError for an image file's content that is no image or declares an absurd size.

    Args:
        content: of the file.
        path: what to call it.
    """
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of large images, which are refused below
            with Image.open(io.BytesIO(content), formats=FORMATS) as image:  # reads the header
                width, height = image.size
    except Image.DecompressionBombError as error:
        raise unsafe(path, "it declares more pixels than any photograph") from error
    except Exception as error:  # whatever Pillow makes of damaged bytes
        raise FileError(
            f"'{printable(str(path))}' is not a readable {zoo.images.FORMATS}."
        ) from error
    if width * height > MOST_PIXELS or max(width, height) > MOST_ASPECT * min(width, height):
        raise unsafe(
            path,
            f"it is {width}x{height}; an image may have at most "
            f"{MOST_PIXELS:,} pixels and one side at most {MOST_ASPECT} times the other",
        )
    if (needed := PER_PIXEL * width * height) > ALWAYS_THERE:
        require_memory(needed, path)
