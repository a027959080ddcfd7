"""Test images with Keras's outputs: the exported C program checks itself with them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import tensorflow as tf

VECTORS = 2


def vector_bytes(number: int, count: int) -> np.ndarray:
    """Return the bytes of a test image, from a hash that main.c computes too."""
    x = (np.arange(count, dtype=np.uint64) + np.uint64(number * count)).astype(np.uint32)
    x = x * np.uint32(2654435761)
    x ^= x >> np.uint32(16)
    x = x * np.uint32(2246822519)
    x ^= x >> np.uint32(13)
    return (x & np.uint32(255)).astype(np.uint8)


def vector_image(number: int, count: int, table: np.ndarray | None) -> np.ndarray:
    """Return the test image as the network's input, flat."""
    pixels = vector_bytes(number, count)
    if table is None:
        return (pixels.astype(np.float32) - np.float32(128)) / np.float32(64)
    return table[np.arange(count) % len(table), pixels]


def expected_outputs(model: tf.keras.Model, count: int, table: np.ndarray | None) -> str:
    """Return Keras's outputs for the test images, as C."""
    from zoo.deploy.c.emit import _lines

    images = np.stack([vector_image(number, count, table) for number in range(VECTORS)])
    outputs = model(images.reshape(-1, *model.input_shape[1:]), training=False).numpy()
    rows = ["\n".join(_lines(row.astype(np.float32).reshape(-1))) for row in outputs]
    return "\n".join(f"{{\n{row}\n}}," for row in rows)
