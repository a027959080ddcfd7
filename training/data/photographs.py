"""Photographs for training: a random part of each, resized, with Pillow and NumPy alone.

Pillow resizes a photograph faster than TensorFlow does, and as torchvision does: its values are
those of the papers' PyTorch code. It holds no lock of Python's while it decodes and resizes, so
that several threads do it at once. A training program has this file beside it, where there is no
TensorFlow.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageOps

try:
    from training.data import philox
except ImportError:  # in a training program
    import philox  # type: ignore[import-not-found, no-redef]

ORIENTATION = 0x0112  # EXIF's tag
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
    """torchvision's RandomResizedCrop, AlexNet's lighting and a flip, each from an image's seed.

    Attributes:
        shape: (height, width, 1 or 3) of what the network sees.
        scale: share of the photograph's area, lowest and highest.
        ratio: width through height, lowest and highest.
        lighting: standard deviation of each component's factor; 0 is off.
        flip: mirror every second image.
    """

    shape: tuple[int, int, int]
    scale: tuple[float, float]
    ratio: tuple[float, float]
    lighting: float
    flip: bool

    def pixels(
        self, files: Sequence[bytes], key: int, positions: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """The images of a part of an epoch.

        Args:
            files: contents of image files.
            key: the epoch's seed.
            positions: of the images in the epoch, int64 [n].

        Returns:
            uint8 [m, *shape], and which of `files` they are, int64 [m]: without those that cannot
            be decoded.
        """
        draws = philox.uniform(key, positions, 2 * TRIES + 3)
        shifts = lighting_shifts(key, positions, self.lighting) if self.lighting else None
        found = np.empty((len(files), *self.shape), np.uint8)
        kept: list[int] = []
        for index, content in enumerate(files):
            try:
                image = self._cut(content, draws[index])
            except Exception:  # whatever Pillow makes of a damaged file
                continue
            if shifts is not None:
                image = image.point(shifted_values(shifts[index]))
            if self.flip and draws[index, -1] < 0.5:
                image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
            found[len(kept)] = np.asarray(image).reshape(self.shape)
            kept.append(index)
        return found[: len(kept)], np.array(kept, np.int64)

    def _cut(self, content: bytes, draws: np.ndarray) -> Image.Image:
        """The part of the photograph that `draws` say, in the network's size."""
        height, width, channels = self.shape
        with Image.open(io.BytesIO(content)) as image:
            turned = image.getexif().get(ORIENTATION, 1)
            sides = image.size if turned < 5 else image.size[::-1]
            top, left, rows, columns = random_box(sides[::-1], draws, self.scale, self.ratio)
            # A JPEG file is decoded at a half, a quarter or an eighth of its size if the crop stays
            # twice as large as the network's input.
            factor = max(1, min(rows // height, columns // width) // 2)
            if factor > 1:
                image.draft(None, (image.width // factor, image.height // factor))
            whole = as_mode(image, "RGB" if channels == 3 else "L")
            if 2 <= turned <= 8:
                whole = ImageOps.exif_transpose(whole)
            smaller = round(sides[0] / whole.width)
            if smaller == 1:  # uses nothing outside the crop
                part = whole.crop((left, top, left + columns, top + rows))
                return part.resize((width, height), Image.Resampling.BILINEAR)
            # On a reversed axis the last block of pixels, which is not full, comes first.
            x, y = (length - side / smaller for length, side in zip(whole.size, sides, strict=True))
            x, y = x * (turned in (2, 3, 6, 7)), y * (turned in (3, 4, 7, 8))
            corners = np.array([left, top, left + columns, top + rows]) / smaller + [x, y, x, y]
            return whole.resize((width, height), Image.Resampling.BILINEAR, tuple(corners))


def as_mode(image: Image.Image, mode: str) -> Image.Image:
    """Decoded, as "RGB" or "L"; of 16 bits the upper 8, without transparency."""
    if image.mode == mode:
        image.load()
        return image  # a copy of a photograph takes half as long as its decoding
    if image.mode.startswith("I"):  # Pillow would cut larger values off
        upper = (np.asarray(image).astype(np.uint32) >> 8).astype(np.uint8)
        return Image.fromarray(upper).convert(mode)
    coloured = image if image.mode in ("1", "RGB") else image.convert("RGB")
    return coloured.convert(mode)


def random_box(
    shape: tuple[int, int],
    draws: np.ndarray,
    scale: tuple[float, float],
    ratio: tuple[float, float],
) -> tuple[int, int, int, int]:
    """torchvision's RandomResizedCrop.get_params: (top, left, height, width).

    Ten tries of an area (uniform in `scale`) and an aspect ratio (log-uniform in `ratio`); the
    first that fits in the image is placed uniformly. If none fits: the largest centred box whose
    ratio is allowed. In float32, and equal to `training.data.preprocessing.random_box`.

    Args:
        shape: (height, width) of the photograph.
        draws: 22 or more numbers in [0, 1), float32.
        scale, ratio: see `RandomCrops`.
    """
    f = np.float32
    size = np.array(shape, f)
    areas = size[0] * size[1] * (f(scale[0]) + draws[:TRIES] * f(scale[1] - scale[0]))
    low, high = math.log(ratio[0]), math.log(ratio[1])
    ratios = np.exp(f(low) + draws[TRIES : 2 * TRIES] * f(high - low))
    extents = np.rint(np.sqrt(np.stack([areas / ratios, areas * ratios])))
    fits = ((extents > 0) & (extents <= size[:, None])).all(0)
    if fits.any():
        extent = extents[:, fits.argmax()]
        corner = np.floor(draws[2 * TRIES : 2 * TRIES + 2] * (size - extent + 1))
    else:
        widest = np.array([size[1] / f(ratio[0]), size[0] * f(ratio[1])], f)
        extent = np.minimum(size, np.rint(widest))
        corner = np.floor((size - extent) / 2)
    top, left, height, width = (int(each) for each in (*corner, *extent))
    return top, left, height, width


def lighting_shifts(key: int, positions: np.ndarray, deviation: float) -> np.ndarray:
    """AlexNet's PCA lighting: a shift for each image and colour in 0..255, float32 [n, 3]."""
    alpha = philox.normal(key, positions, 3) * np.float32(deviation)
    components = alpha * np.array(PCA_EIGENVALUES, np.float32)
    return 255 * components @ np.array(PCA_EIGENVECTORS, np.float32).T


def shifted_values(shifts: np.ndarray) -> list[int]:
    """What becomes of each value of a pixel, colour by colour: 256 whole numbers for each."""
    values = np.arange(256, dtype=np.float32) + shifts[:, None]
    return np.rint(np.clip(values, 0, 255)).astype(int).ravel().tolist()
