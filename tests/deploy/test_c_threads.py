"""Networks in C on several threads: equal to one thread, to the bit."""

import ctypes
import ctypes.util
import os
import shutil

import numpy as np
import pytest
import tensorflow as tf
from case import images, randomize
from networks import quick_network, turned
from sums import symmetric

from zoo.deploy import load_c, to_c

layers = tf.keras.layers
QUICKLY = ("-std=c11", "-O0", "-DBNN_ONLY_PORTABLE")  # all sets share work in one way
GOMP = ctypes.util.find_library("gomp")
pytestmark = pytest.mark.skipif(
    not (shutil.which("gcc") and GOMP), reason="no GCC with its library of threads"
)


def stem():
    """A convolution and a pooling that run in turns on one thread."""
    image = tf.keras.Input((73, 70, 3))
    x = layers.BatchNormalization()(layers.Conv2D(40, 3, padding="same")(image))
    return tf.keras.Model(image, layers.MaxPooling2D(3, 2, padding="same")(x), name="stem")


def shrinking():
    """A map that its result overwrites: its pixels are computed in their order."""
    image = tf.keras.Input((40, 40, 3))
    x = layers.BatchNormalization()(layers.Conv2D(32, 1)(image))
    small = layers.AveragePooling2D(2)(x)
    return tf.keras.Model(image, layers.Add()([symmetric(32, 3)(small), small]), name="shrinks")


NETWORKS = {
    "quads and rows": lambda: quick_network("ReActNetA"),
    "a pair": lambda: randomize(stem()),
    "an overlap": lambda: randomize(shrinking()),
}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("quads and rows", marks=pytest.mark.slow),
        "a pair",
        pytest.param("an overlap", marks=pytest.mark.slow),
    ],
)
def test_threads_compute_the_same(name, tmp_path, monkeypatch):
    monkeypatch.setenv("CC", "gcc")
    model = turned(NETWORKS[name]())
    directory = to_c(model, tmp_path / "c").directory
    expected = load_c(directory, flags=QUICKLY)(images(model, 3))
    # Every layer is shared: otherwise these would be too small.
    network = load_c(directory, flags=(*QUICKLY, "-fopenmp", "-DWORTH_SHARING=0"))
    try:
        for threads in (1, 2, 3, 64):
            ctypes.CDLL(GOMP).omp_set_num_threads(threads)
            assert np.array_equal(network(images(model, 3)), expected), threads
        assert len(os.listdir("/proc/self/task")) > 60  # they stay and wait for work
    finally:
        ctypes.CDLL(GOMP).omp_set_num_threads(os.cpu_count() or 1)
