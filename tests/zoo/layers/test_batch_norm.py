"""Batch norm against an oracle in NumPy: training, running statistics, inference, 16 bits."""

import numpy as np
import pytest
import tensorflow as tf

from tests.zoo.layers.oracles import close, normal, run
from zoo.errors import InvalidValueError
from zoo.layers import BatchNorm


def batch_norm(dtype, channels=3, **arguments):
    layer = BatchNorm(**arguments)
    layer.build((None, None, None, channels))
    for weight, values in zip(layer.weights, ([2, -1, 0.5], [0.3, 0, -2]), strict=False):
        weight.assign(np.array(values, dtype))
    return layer


def normalised(x, epsilon=1e-5):
    mean, variance = x.mean((0, 1, 2)), x.var((0, 1, 2))
    return (x - mean) / np.sqrt(variance + epsilon)


@pytest.mark.parametrize("shape", [(4, 5, 6, 3), (8, 1, 1, 3), (1, 7, 2, 3)], ids=str)
@pytest.mark.parametrize("deviation", [1.0, 1e-3], ids=["unit", "small"])
def test_batch_norm_in_training(shape, deviation, dtype):
    """With a deviation of 1e-3 the variance is below epsilon, so the exact epsilon matters."""
    x = (5 * deviation + normal(shape, dtype, scale=deviation)).astype(dtype)
    layer = batch_norm(dtype)
    y, dy, dx, (dgamma, dbeta) = run(layer, x, training=True)

    x, dy = x.astype(np.float64), dy.astype(np.float64)
    gamma, beta = np.array([2, -1, 0.5]), np.array([0.3, 0, -2])
    hat, axes = normalised(x), (0, 1, 2)
    close(y, gamma * hat + beta, dtype)
    close(dgamma, (dy * hat).sum(axes), dtype)
    close(dbeta, dy.sum(axes), dtype)
    inverse = 1 / np.sqrt(x.var(axes) + 1e-5)
    # Chain rule through the mean and the variance, as in 1502.03167.
    dhat = dy * gamma
    dvariance = (dhat * (x - x.mean(axes))).sum(axes) * -0.5 * inverse**3
    dmean = -(dhat * inverse).sum(axes)
    count = x.size / 3
    expected = dhat * inverse + dvariance * 2 * (x - x.mean(axes)) / count + dmean / count
    close(dx, expected, dtype)


def test_batch_norm_running_statistics(dtype):
    """Momentum 0.9 (PyTorch's 0.1), and the unbiased variance."""
    layer = batch_norm(dtype)
    mean, variance = np.zeros(3), np.ones(3)
    for seed in range(3):
        x = 2 + normal((2, 3, 4, 3), dtype, seed, scale=3)
        layer(x, training=True)
        mean = 0.9 * mean + 0.1 * x.mean((0, 1, 2), dtype=np.float64)
        variance = 0.9 * variance + 0.1 * x.astype(np.float64).var((0, 1, 2), ddof=1)
    close(layer.moving_mean.numpy(), mean, dtype)
    close(layer.moving_variance.numpy(), variance, dtype)


def test_batch_norm_momentum_and_epsilon(dtype):
    layer = batch_norm(dtype, momentum=0.5, epsilon=0.1)
    x = normal((2, 3, 4, 3), dtype)
    y = layer(x, training=True).numpy()
    close(y, np.array([2, -1, 0.5]) * normalised(x, 0.1) + np.array([0.3, 0, -2]), dtype)
    close(layer.moving_mean.numpy(), 0.5 * x.mean((0, 1, 2)), dtype)


def test_batch_norm_of_one_value_stays_finite(dtype):
    layer = batch_norm(dtype)
    y, _, dx, _ = run(layer, np.full((1, 1, 1, 3), 7, dtype), training=True)
    close(y, np.array([[[[0.3, 0, -2]]]]), dtype)
    close(dx, np.zeros((1, 1, 1, 3)), dtype)
    close(layer.moving_variance.numpy(), np.full(3, 0.9), dtype)


@pytest.mark.parametrize("frozen", [False, True])
def test_batch_norm_inference(frozen, dtype):
    """Running statistics are used with training=False, and always if the layer is frozen."""
    layer = batch_norm(dtype)
    mean, variance = np.array([1.0, -2, 0.1]), np.array([1e-6, 4, 0.3])
    layer.moving_mean.assign(mean.astype(dtype))
    layer.moving_variance.assign(variance.astype(dtype))
    layer.trainable = not frozen
    x = normal((2, 3, 4, 3), dtype)
    y, dy, dx, dweights = run(layer, x, training=frozen)

    factor = np.array([2, -1, 0.5]) / np.sqrt(variance + 1e-5)
    close(y, factor * (x - mean) + np.array([0.3, 0, -2]), dtype)
    close(dx, dy * factor, dtype)
    if frozen:
        assert not dweights
    else:
        hat = (x - mean) / np.sqrt(variance + 1e-5)
        close(dweights[0], (dy * hat).sum((0, 1, 2)), dtype)
        close(dweights[1], dy.sum((0, 1, 2)), dtype)
    close(layer.moving_mean.numpy(), mean, dtype)
    close(layer.moving_variance.numpy(), variance, dtype)


@pytest.mark.parametrize("known", [(None, 5, 7, 3), (None, None, None, 3)])
def test_batch_norm_of_unknown_sizes_is_equal_to_the_bit(known):
    x = tf.constant(normal((4, 5, 7, 3), "float32"))
    found = []
    for compute in (lambda f: f, lambda f: tf.function(f, [tf.TensorSpec(known)])):
        layer = BatchNorm()
        layer.build((None, None, None, 3))
        outputs = compute(lambda x, layer=layer: layer(x, training=True))(x)
        found.append([outputs, *layer.weights])
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)


def test_batch_norm_is_accurate_far_from_zero():
    """A mean of 30 deviations, in float32 over 100,000 pixels: sums must keep the small part."""
    x = normal((8, 112, 112, 3), "float32", scale=1) + np.float32(30)
    layer = batch_norm("float32")
    hat = (layer(x, training=True).numpy() - [0.3, 0, -2]) / [2, -1, 0.5]
    # The subtraction of the mean in float32 alone has an error of half an ulp of 30, 1e-6.
    np.testing.assert_allclose(hat, normalised(x.astype(np.float64)), atol=6e-6)


@pytest.mark.parametrize(
    ("arguments", "gamma", "beta"),
    [({"scale": False}, 1, [2, -1, 0.5]), ({"center": False}, [2, -1, 0.5], 0)],
)
def test_batch_norm_without_scale_or_centre(arguments, gamma, beta, dtype):
    layer = BatchNorm(**arguments)
    layer.build((None, None, None, 3))
    layer.trainable_weights[0].assign(np.array([2, -1, 0.5], dtype))
    x = normal((2, 3, 4, 3), dtype)
    y, dy, _, (dweight,) = run(layer, x, training=True)
    hat = normalised(x.astype(np.float64))
    close(y, gamma * hat + np.array(beta), dtype)
    close(dweight, (dy if beta else dy * hat).sum((0, 1, 2)), dtype)


def test_batch_norm_in_16_bits(policy):
    """Statistics use 32 bits: the square of 400 exceeds float16's range."""
    layer = batch_norm("float32")
    x = tf.cast(400 * normal((4, 5, 6, 3), "float32"), policy.compute_dtype)
    with tf.GradientTape() as tape:
        y = layer(x, training=True)
    assert y.dtype == policy.compute_dtype
    wide = tf.cast(x, tf.float64).numpy()
    expected = np.array([2, -1, 0.5]) * normalised(wide) + np.array([0.3, 0, -2])
    ulp = {"float16": 2**-10, "bfloat16": 2**-7}[policy.compute_dtype]
    np.testing.assert_allclose(tf.cast(y, tf.float64), expected, rtol=ulp, atol=ulp / 100)
    assert all(weight.dtype == tf.float32 for weight in layer.weights)
    variance = 0.9 + 0.1 * wide.var((0, 1, 2), ddof=1)
    np.testing.assert_allclose(layer.moving_variance, variance, rtol=1e-5)
    for gradient in tape.gradient(y, layer.trainable_weights):
        assert gradient.dtype == tf.float32 and np.isfinite(gradient).all()
    assert layer(x, training=False).dtype == policy.compute_dtype


def test_batch_norm_bad_arguments():
    with pytest.raises(InvalidValueError, match="True or False, not a tensor"):
        BatchNorm()(tf.zeros((1, 2, 2, 3)), training=tf.constant(True))
    with pytest.raises(InvalidValueError, match="the last axis of"):
        BatchNorm(axis=1)(tf.zeros((1, 2, 2, 3)))
    with pytest.raises(InvalidValueError, match="the last axis of"):
        BatchNorm()(tf.zeros((4, 3)))
