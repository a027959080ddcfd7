"""Fixtures of the data tests: configured components and real images."""

import os

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")

import numpy as np
import pytest
import tensorflow as tf
from zookeeper import configure

from training.data import FashionMNIST


def configured(component, **fields):
    """Return a configured instance of a Zookeeper component."""
    instance = component()
    configure(instance, fields, interactive=False)
    return instance


@pytest.fixture(scope="session")
def make():
    return configured


@pytest.fixture(scope="session")
def fashion():
    return configured(FashionMNIST)


@pytest.fixture(scope="session")
def images(fashion):
    """The first 200 embedded training images, uint8 [200, 28, 28, 1]."""
    encoded = fashion.examples("train[:200]")
    return np.stack([tf.io.decode_png(e["image"]).numpy() for e in encoded])


@pytest.fixture(scope="session")
def pictures(images):
    """Twelve colour pictures of several sizes, uint8 [h, w, 3], tiled from embedded images.

    The three channels are different images, so that no transform can mix channels unnoticed.
    """
    sizes = [(84, 56), (56, 84), (112, 112), (28, 140), (140, 28), (61, 97)] * 2
    out = []
    for i, (height, width) in enumerate(sizes):
        tiles = [np.tile(images[3 * i + c, :, :, 0], (6, 6)) for c in range(3)]
        out.append(np.stack(tiles, -1)[:height, :width])
    return out


@pytest.fixture
def folder(tmp_path, pictures):
    """An image folder of two classes, PNG and JPEG, 20 files each, in train/ and val/."""
    for split, count in (("train", 20), ("val", 5)):
        for c, name in enumerate(("bags", "coats")):
            (tmp_path / split / name).mkdir(parents=True)
            for i in range(count):
                picture = pictures[(2 * i + c) % len(pictures)]
                suffix = "png" if i % 2 else "jpg"
                encode = tf.io.encode_png if i % 2 else tf.io.encode_jpeg
                path = tmp_path / split / name / f"{i:02d}.{suffix}"
                path.write_bytes(encode(picture).numpy())
    return tmp_path
