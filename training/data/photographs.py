"""Crop and resize photographs for training, with Pillow and NumPy only.

Pillow resizes a photograph faster than TensorFlow. torchvision uses Pillow, so the pixel values are
equal to those of the papers' PyTorch code. Pillow releases Python's lock while it decodes and
resizes, so several threads can work in parallel. A training program contains a copy of this file,
because it runs without TensorFlow.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

try:
    from training.data import philox
except ImportError:  # in a training program
    import philox  # type: ignore[import-not-found, no-redef]

# Pillow keeps this number of memory blocks for the next images. New blocks would take a tenth of
# the time, because the system must clear them.
Image.core.set_blocks_max(16)

ORIENTATION = 0x0112  # EXIF tag
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
TRIES = 10
# Principal components of ImageNet's RGB values in 0..1 (Krizhevsky et al. 2012), as in fb.resnet.
PCA_EIGENVALUES = (0.2175, 0.0188, 0.0045)
PCA_EIGENVECTORS = (
    (-0.5675, 0.7192, 0.4009),
    (-0.5808, -0.0045, -0.8140),
    (-0.5836, -0.6948, 0.4203),
)


@dataclass(frozen=True)
class RandomCrops:
    """torchvision's RandomResizedCrop, AlexNet's lighting and a flip, set by each image's seed.

    Attributes:
        shape: (height, width, 1 or 3) of the network's input.
        scale: lowest and highest share of the photograph's area.
        ratio: lowest and highest ratio of width to height.
        lighting: standard deviation of each component's factor; 0 switches it off.
        flip: whether to mirror images at random, with probability one half.
    """

    shape: tuple[int, int, int]
    scale: tuple[float, float]
    ratio: tuple[float, float]
    lighting: float
    flip: bool

    def pixels(
        self,
        files: Sequence[bytes],
        key: int,
        positions: np.ndarray,
        into: np.ndarray | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the images for a part of an epoch.

        Args:
            files: contents of image files.
            key: the epoch's seed.
            positions: the images' positions in the epoch, int64 [n].
            into: array for the result, uint8 [n, *shape]; None makes a new one.

        Returns:
            uint8 [m, *shape], and their indices in `files`, int64 [m]. Files that cannot be
            decoded are left out.
        """
        draws = philox.uniform(key, positions, 2 * TRIES + 3)
        photographs = [opened(content) for content in files]
        shapes = np.array([each.shape if each else (1, 1) for each in photographs]).reshape(-1, 2)
        boxes = random_boxes(shapes, draws, self.scale, self.ratio).tolist()
        if self.lighting:
            light = Lighting(lighting_shifts(key, positions, self.lighting), self.shape[1])
        found = np.empty((len(files), *self.shape), np.uint8) if into is None else into
        kept: list[int] = []
        for index, photograph in enumerate(photographs):
            try:
                assert photograph is not None
                image = self._cut(photograph, boxes[index])
            except Exception:  # Pillow raises many kinds of errors for damaged files
                continue
            if self.flip and draws[index, -1] < 0.5:
                image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
            pixels = np.asarray(image).reshape(self.shape)
            found[len(kept)] = light.on(index, pixels) if self.lighting else pixels
            kept.append(index)
        return found[: len(kept)], np.array(kept, np.int64)

    def _cut(self, photograph: Photograph, box: Sequence[int]) -> Image.Image:
        """Return the part of a photograph in `box`, in the network's size."""
        height, width, channels = self.shape
        top, left, rows, columns = box
        turned, sides = photograph.turned, photograph.shape[::-1]
        # Decode a JPEG file at a half, a quarter or an eighth of its size if the crop stays at
        # least twice as large as the network's input.
        factor = max(1, min(rows // height, columns // width) // 2)
        with photograph.image(None if factor > 1 else top + rows) as image:
            if factor > 1:
                image.draft(None, (image.width // factor, image.height // factor))
            whole = as_mode(image, "RGB" if channels == 3 else "L")
            if turned in UPRIGHT:
                whole = whole.transpose(UPRIGHT[turned])
            smaller = round(sides[0] / whole.width)
            if smaller == 1:  # resizing reads no pixel outside the crop
                part = whole.crop((left, top, left + columns, top + rows))
                return part.resize((width, height), Image.Resampling.BILINEAR)
            # If an axis is reversed, the last block of pixels, which may be incomplete, is first.
            x, y = (length - side / smaller for length, side in zip(whole.size, sides, strict=True))
            x, y = x * (turned in (2, 3, 6, 7)), y * (turned in (3, 4, 7, 8))
            corners = np.array([left, top, left + columns, top + rows]) / smaller + [x, y, x, y]
            return whole.resize((width, height), Image.Resampling.BILINEAR, tuple(corners))


@dataclass(frozen=True)
class Photograph:
    """An image file of which only the beginning was read.

    Attributes:
        content: the file.
        turned: its orientation, as EXIF's number, 1 to 8.
        shape: (height, width) of the upright image.
        height_at: where a JPEG file states its height; 0 if all rows must be decoded.
    """

    content: bytes
    turned: int
    shape: tuple[int, int]
    height_at: int = 0

    def image(self, rows: int | None) -> Image.Image:
        """Open the image, for reading its first `rows` rows or all rows.

        A decoder stops after the rows that a JPEG file states, so we state a smaller height. The
        rows above keep their values: 8 more rows are enough for the interpolation of colours.
        """
        content = self.content
        if self.height_at and rows and rows + 8 < self.shape[0]:
            stated = (rows + 8).to_bytes(2, "big")
            content = content[: self.height_at] + stated + content[self.height_at + 2 :]
        return Image.open(io.BytesIO(content))


def opened(content: bytes) -> Photograph | None:
    """Read the beginning of an image file; return None if Pillow cannot read it."""
    at, exif = _height_of_jpeg(content)
    if at and not exif:  # Pillow would take twenty times as long
        height, width = (int.from_bytes(content[i : i + 2], "big") for i in (at, at + 2))
        return Photograph(content, 1, (height, width), at) if height and width else None
    try:
        with Image.open(io.BytesIO(content)) as image:
            stated, (width, height) = image.getexif().get(ORIENTATION), image.size
        turned = stated if stated in UPRIGHT else 1
        shape = (height, width) if turned < 5 else (width, height)
        return Photograph(content, turned, shape, at if turned == 1 else 0)
    except Exception:  # Pillow raises many kinds of errors for damaged files
        return None


def _height_of_jpeg(content: bytes) -> tuple[int, bool]:
    """Return where a JPEG file states its height, and whether it may have EXIF data.

    The position is 0 for other files, and for JPEG files that must be decoded to their end:
    progressive files, because the decoder smooths what their scans leave open, and truncated files,
    which are unreadable whatever the crop.
    """
    at, height, exif = 2, 0, False
    if content[:2] != b"\xff\xd8" or content[-2:] != b"\xff\xd9":
        return 0, False
    while len(content) >= at + 9 and content[at] == 0xFF:
        marker = content[at + 1]
        if marker == 0xDA:  # the image's data
            return height, exif
        if marker in (0xC0, 0xC1):  # a frame: length, precision, height, width
            height = at + 5
        exif = exif or marker == 0xE1
        at += 2 + int.from_bytes(content[at + 2 : at + 4], "big")
    return 0, False


def readable(content: bytes) -> bool:
    """Return whether Pillow can decode an image file to its end."""
    try:
        with Image.open(io.BytesIO(content)) as image:
            as_mode(image, "RGB")
        return True
    except Exception:  # Pillow raises many kinds of errors for damaged files
        return False


def as_mode(image: Image.Image, mode: str) -> Image.Image:
    """Decode an image to "RGB" or "L": the upper 8 of 16 bits, without transparency."""
    if image.mode == mode:
        image.load()
        return image  # without a copy, which would take half as long as decoding
    if image.mode.startswith("I"):  # Pillow would clip larger values
        upper = (np.asarray(image).astype(np.uint32) >> 8).astype(np.uint8)
        return Image.fromarray(upper).convert(mode)
    coloured = image if image.mode in ("1", "RGB") else image.convert("RGB")
    return coloured.convert(mode)


def random_boxes(
    shapes: np.ndarray,
    draws: np.ndarray,
    scale: tuple[float, float],
    ratio: tuple[float, float],
) -> np.ndarray:
    """Return (top, left, height, width), int64 [n, 4], as torchvision's RandomResizedCrop does.

    It tries ten times an area (uniform in `scale`) and an aspect ratio (log-uniform in `ratio`).
    The first box that fits in the image is placed uniformly. If no box fits, it takes the largest
    centred box with an allowed ratio. Computes in float32; equal to
    `training.data.preprocessing.random_box`.

    Args:
        shapes: (height, width) of the photographs, [n, 2].
        draws: numbers in [0, 1), float32 [n, 22 or more].
        scale, ratio: see `RandomCrops`.
    """
    f = np.float32
    sizes = shapes.astype(f)
    shares = f(scale[0]) + draws[:, :TRIES] * f(scale[1] - scale[0])
    areas = (sizes[:, 0] * sizes[:, 1])[:, None] * shares
    low, high = math.log(ratio[0]), math.log(ratio[1])
    ratios = np.exp(f(low) + draws[:, TRIES : 2 * TRIES] * f(high - low))
    tries = np.rint(np.sqrt(np.stack([areas / ratios, areas * ratios], -1)))  # [n, TRIES, 2]
    fits = ((tries > 0) & (tries <= sizes[:, None])).all(-1)
    extents = np.take_along_axis(tries, fits.argmax(1)[:, None, None], 1)[:, 0]
    corners = np.floor(draws[:, 2 * TRIES : 2 * TRIES + 2] * (sizes - extents + 1))
    widest = np.stack([sizes[:, 1] / f(ratio[0]), sizes[:, 0] * f(ratio[1])], -1)
    largest = np.minimum(sizes, np.rint(widest))
    fitting = fits.any(1)[:, None]
    corners = np.where(fitting, corners, np.floor((sizes - largest) / 2))
    return np.concatenate([corners, np.where(fitting, extents, largest)], 1).astype(np.int64)


def lighting_shifts(key: int, positions: np.ndarray, deviation: float) -> np.ndarray:
    """Return AlexNet's PCA lighting: a shift per image and colour, float32 [n, 3], for 0..255."""
    alpha = philox.normal(key, positions, 3) * np.float32(deviation)
    components = alpha * np.array(PCA_EIGENVALUES, np.float32)
    return 255 * components @ np.array(PCA_EIGENVECTORS, np.float32).T


class Lighting:
    """Shift the colours of images; the results are rounded to integers in 0..255.

    Args:
        shifts: shifts for each image and colour, float32 [n, 3].
        width: width of the images in pixels.
    """

    def __init__(self, shifts: np.ndarray, width: int):
        values = np.arange(256, dtype=np.float32)
        tables = np.rint(np.clip(values + shifts[:, :, None], 0, 255))
        whole = np.rint(shifts)[:, :, None]
        # A sum of integers is a tenth of the work. It is equal unless a shift is near a half.
        self.equal = (tables == np.clip(values + whole, 0, 255)).all((1, 2))
        self.tables = tables.astype(np.uint8)
        self.rows = np.tile(whole[:, :, 0].clip(-255, 255).astype(np.int16), width)

    def on(self, index: int, pixels: np.ndarray) -> np.ndarray:
        """Return `pixels`, uint8 [h, w, 3], with the shifts of image number `index`."""
        if not self.equal[index]:
            return self.tables[index][np.arange(3), pixels]
        sums = pixels.reshape(len(pixels), -1) + self.rows[index]
        return np.clip(sums, 0, 255, out=sums).reshape(pixels.shape)
