"""Pack weights in the order in which the kernels read them: 16 filters side by side."""

from __future__ import annotations

import numpy as np

from zoo.deploy.c.graph import LANES, filled


def pack_signs(kernel: np.ndarray, stride: int) -> np.ndarray:
    """Pack signs (h, w, in, out) to uint32 (blocks, words, 16): 1 is +1, the lowest bit is first.

    A pixel takes `stride` bytes, and a row of pixels takes whole words. Both are padded with zeros
    like the image, so that padding bits do not differ.
    """
    height, width, channels, filters = kernel.shape
    bits = np.zeros((filled(filters), height, width, 8 * stride), np.uint8)
    bits[:filters, :, :, :channels] = (kernel > 0).transpose(3, 0, 1, 2)
    rows = bits.reshape(filled(filters), height, -1)
    rows = np.pad(rows, [(0, 0), (0, 0), (0, -rows.shape[2] % 32)])
    words = np.packbits(rows.reshape(filled(filters), -1), axis=1, bitorder="little").view("<u4")
    return np.ascontiguousarray(words.reshape(-1, LANES, words.shape[1]).transpose(0, 2, 1))


def pack_real(kernel: np.ndarray) -> np.ndarray:
    """Pack a kernel (h, w, in, out) to the bits of float32 (blocks, h, w, in, 16)."""
    missing = filled(kernel.shape[3]) - kernel.shape[3]
    padded = np.pad(kernel, [(0, 0), (0, 0), (0, 0), (0, missing)]).astype(np.float32)
    blocks = padded.reshape(*kernel.shape[:3], -1, LANES)
    return _bits(blocks.transpose(3, 0, 1, 2, 4))


def pack_depthwise(kernel: np.ndarray) -> np.ndarray:
    """Pack a kernel (h, w, channels) to the bits of float32 (blocks, h, w, 16)."""
    missing = filled(kernel.shape[2]) - kernel.shape[2]
    padded = np.pad(kernel, [(0, 0), (0, 0), (0, missing)]).astype(np.float32)
    return _bits(padded.reshape(*kernel.shape[:2], -1, LANES).transpose(2, 0, 1, 3))


def _bits(values: np.ndarray) -> np.ndarray:
    """Return float32 values as integers with the same bits: compilers read these much faster."""
    return np.ascontiguousarray(values).view(np.uint32)
