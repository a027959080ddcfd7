"""Shared code of the tests of layers: gradients and comparisons."""

import numpy as np
import tensorflow as tf

TOLERANCE = {"float32": 3e-6, "float64": 1e-12}


def normal(shape, dtype="float64", seed=0, scale=1.0):
    return np.random.default_rng(seed).normal(0, scale, shape).astype(dtype)


def run(layer, x, dy_seed=9, **call):
    """Return output, upstream gradient, and gradients to x and to the layer's trainable weights."""
    x = tf.Variable(x)
    with tf.GradientTape() as tape:
        y = layer(x, **call)
    dy = normal(y.shape, y.dtype.as_numpy_dtype, dy_seed)
    dx, *dweights = tape.gradient(y, [x, *layer.trainable_weights], dy)
    return y.numpy(), dy, dx.numpy(), [gradient.numpy() for gradient in dweights]


def close(actual, expected, dtype, factor=1):
    """Assert equality within the dtype's tolerance, relative to the largest expected value."""
    assert actual.dtype == dtype
    atol = factor * TOLERANCE[dtype] * max(1, np.abs(expected).max())
    np.testing.assert_allclose(actual, expected, rtol=0, atol=atol)


def sign(x):
    return np.where(x < 0, -1.0, 1.0)
