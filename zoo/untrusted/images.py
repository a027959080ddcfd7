"""Check the declared size of image files before they are decoded."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import zoo.images
from zoo.errors import FileError, printable
from zoo.untrusted.opening import read_bytes, require_memory, unsafe

MOST_FILE = 256 * 2**20
MOST_PIXELS = 2**27
MOST_ASPECT = 100  # length by width: networks resize by the shorter side
FORMATS = ("PNG", "JPEG", "GIF", "BMP", "DIB", "WEBP", "TIFF", "PPM")
ALWAYS_THERE = 2**26  # below this many bytes we skip the memory check: it is slower than an image
PER_PIXEL = 15  # bytes: three colours as uint8 and as float32


def read_image_file(path: str | Path) -> bytes:
    """Return the content of an image file in a format of `zoo.images`, after checking its size.

    Raises:
        FileError: it is not a regular file, is too large, declares an absurd size, or is no image.
    """
    content = read_bytes(path, MOST_FILE)
    check_declared_size(content, path)
    return content


def check_declared_size(content: bytes, path: str | Path) -> None:
    """Raise FileError if the content is not an image or declares an absurd size.

    Args:
        content: content of the file.
        path: the file's name for error messages.
    """
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # large images are refused below
            with Image.open(io.BytesIO(content), formats=FORMATS) as image:  # reads the header
                width, height = image.size
    except Image.DecompressionBombError as error:
        raise unsafe(path, "it declares more pixels than any photograph") from error
    except Exception as error:  # Pillow raises many kinds for damaged bytes
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
