"""Fast convolutions: the same numbers as TensorFlow's, or within the stated error."""

import numpy as np
import pytest
import tensorflow as tf

from zoo.convolution import bfloat16_convolutions, convolve, pixel_sum, scale_and_shift

RNG = np.random.default_rng(0)


def signs(*shape: int) -> np.ndarray:
    return RNG.choice([-1.0, 1.0], shape)


def gradients(function, *arguments: tf.Tensor, dy: np.ndarray):
    """Return outputs and gradients of `function`, traced."""

    @tf.function
    def compute(*arguments):
        with tf.GradientTape() as tape:
            tape.watch(arguments)
            y = function(*arguments)
        return y, *tape.gradient(y, arguments, output_gradients=tf.cast(dy, y.dtype))

    return [each.numpy() for each in compute(*arguments)]


def relative(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))


def plain(x, kernel):
    return tf.nn.conv2d(x, kernel, 1, "SAME")


def ours(x, kernel, **options):
    return convolve(x, kernel, (1, 1), "SAME", (1, 1), **options)


@pytest.mark.parametrize(
    ("size", "channels", "kernel"), [(6, 4, 1), (5, 512, 3), (3, 512, 5)], ids=str
)
@pytest.mark.parametrize(("dtype", "bound"), [("float64", 1e-14), ("float32", 1e-6)])
def test_kernel_gradients_by_matrix_products(size, channels, kernel, dtype, bound):
    """Small maps with many channels, or 1x1: here oneDNN's gradient is replaced."""
    x = tf.constant(RNG.normal(size=(2, size, size, channels)), dtype)
    k = tf.constant(RNG.normal(size=(kernel, kernel, channels, 3)), dtype)
    dy = RNG.normal(size=(2, size, size, 3))
    for found, expected in zip(
        gradients(ours, x, k, dy=dy), gradients(plain, x, k, dy=dy), strict=True
    ):
        assert found.shape == expected.shape and relative(found, expected) < bound


def test_bfloat16_keeps_sums_of_signs_and_rounds_gradients():
    """A sum has 144 signs: whole numbers up to 256 are exact. The scale multiplies in float32."""
    x = tf.constant(signs(2, 6, 6, 16), tf.float32)
    scale = RNG.uniform(0.01, 1, 8)
    k = tf.constant(signs(3, 3, 16, 8) * scale, tf.float32)
    dy = RNG.normal(size=(2, 6, 6, 8))
    exact = gradients(plain, x, k, dy=dy)
    with bfloat16_convolutions():
        rounded = gradients(lambda x, k: ours(x, k, binary=True), x, k, dy=dy)
    assert relative(rounded[0], exact[0]) < 1e-6
    for found, expected in zip(rounded[1:], exact[1:], strict=True):
        assert 1e-5 < relative(found, expected) < 2**-7


def test_bfloat16_rounds_long_sums_to_8_bits():
    x, k = tf.ones([1, 1, 1, 1030]), tf.ones([1, 1, 1030, 2])
    with bfloat16_convolutions():
        y = ours(x, k, binary=True, scaled=False)
    assert set(y.numpy().ravel()) == {1032.0}


@pytest.mark.parametrize(
    ("dtype", "channels", "binary"),
    [("float64", 16, True), ("float32", 8, True), ("float32", 16, False)],
)
def test_what_is_never_rounded(dtype, channels, binary):
    """Other precisions, few channels, and convolutions that are not binary."""
    x = tf.constant(RNG.normal(size=(2, 4, 4, channels)), dtype)
    k = tf.constant(RNG.normal(size=(3, 3, channels, 4)), dtype)
    dy = RNG.normal(size=(2, 4, 4, 4))
    with bfloat16_convolutions():
        found = gradients(lambda x, k: ours(x, k, binary=binary), x, k, dy=dy)
    for one, other in zip(found, gradients(plain, x, k, dy=dy), strict=True):
        assert relative(one, other) < 1e-6


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(2, 5, 4, 7), (3, 6)])
def test_scale_shift_and_sum(shape, dtype):
    x, scale, shift = (RNG.normal(size=s).astype(dtype) for s in (shape, shape[-1:], shape[-1:]))
    np.testing.assert_array_equal(scale_and_shift(tf.constant(x), shift=shift), x + shift)
    np.testing.assert_array_equal(scale_and_shift(tf.constant(x), scale), x * scale)
    bound = 1e-6 if dtype == "float32" else 1e-14
    assert (
        relative(scale_and_shift(tf.constant(x), scale, shift).numpy(), x * scale + shift) < bound
    )
    axes = tuple(range(len(shape) - 1))
    assert relative(pixel_sum(tf.constant(x)).numpy(), x.sum(axes)) < bound
