"""An exported network in OpenVINO's asynchronous queue, as in a service, at full load."""

import pytest
import tensorflow as tf
from case import randomize

import zoo
from benchmarks.async_queue import compiled_for_load, full_load, random_images

# Memory that a process may add by freeing and allocating in other places.
GROWTH = 8 * 2**20


def serve(model, seconds):
    images = random_images(model)
    load = full_load(compiled_for_load(model, threads=2), images, seconds)
    assert load.wrong == 0
    assert load.growth < GROWTH
    assert load.images * images[0].nbytes > 2 * GROWTH, "too few to see one image a request kept"


def test_a_small_network_for_some_seconds():
    model = zoo.ReActNetA(weights=None, input_shape=(64, 64, 3), width=0.25, num_classes=10)
    serve(randomize(model), seconds=3)


@pytest.mark.slow
def test_reactnet_a_for_a_minute():
    tf.keras.backend.clear_session()
    serve(randomize(zoo.ReActNetA(weights=None)), seconds=60)
