"""The convolution and pooling with PyTorch's padding, against an oracle in NumPy."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from tests.zoo.layers.oracles import close, normal, run, sign
from zoo.errors import InvalidValueError
from zoo.layers import SymmetricConv2D, SymmetricMaxPool2D
from zoo.quantizers import ScaledSign

# --- SymmetricConv2D ---


def taps(padded, kernel, strides, dilation):
    """Yield for each output pixel its index and its window of the padded image."""
    reach = [(size - 1) * dilation + 1 for size in kernel.shape[:2]]
    height, width = ((n - r) // strides + 1 for n, r in zip(padded.shape[1:3], reach, strict=True))
    for i, j in itertools.product(range(height), range(width)):
        rows = slice(i * strides, i * strides + reach[0], dilation)
        columns = slice(j * strides, j * strides + reach[1], dilation)
        yield (i, j), (slice(None), rows, columns)


def convolution(x, kernel, strides=1, groups=1, dilation=1, pad=True):
    """Compute a convolution with zeros of half the kernel's extent on every side; groups are
    consecutive channels."""
    sides = [size // 2 * dilation if pad else 0 for size in kernel.shape[:2]]
    padded = np.pad(x, [(0, 0), *((side, side) for side in sides), (0, 0)])
    step_in, step_out = kernel.shape[2], kernel.shape[3] // groups
    pixels = {}
    for pixel, window in taps(padded, kernel, strides, dilation):
        pixels[pixel] = np.concatenate(
            [
                np.einsum(
                    "nhwi,hwio->no",
                    padded[window][..., g * step_in : (g + 1) * step_in],
                    kernel[..., g * step_out : (g + 1) * step_out],
                )
                for g in range(groups)
            ],
            axis=-1,
        )
    height, width = (1 + max(index) for index in zip(*pixels, strict=True))
    rows = [np.stack([pixels[i, j] for j in range(width)], 1) for i in range(height)]
    return np.stack(rows, 1)


def convolution_gradients(x, kernel, dy, strides=1):
    """Return gradients to the input and the kernel of `convolution` (one group, no dilation)."""
    sides = [(size // 2, size // 2) for size in kernel.shape[:2]]
    padded = np.pad(x, [(0, 0), *sides, (0, 0)])
    dpadded, dkernel = np.zeros_like(padded), np.zeros_like(kernel)
    for (i, j), window in taps(padded, kernel, strides, 1):
        dpadded[window] += np.einsum("no,hwio->nhwi", dy[:, i, j], kernel)
        dkernel += np.einsum("nhwi,no->hwio", padded[window], dy[:, i, j])
    (top, _), (left, _) = sides
    return dpadded[:, top : top + x.shape[1], left : left + x.shape[2]], dkernel


SIZES = [(6, 6), (7, 5), (8, 3)]


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("strides", [1, 2])
@pytest.mark.parametrize("kernel_size", [1, 3, 5, 7])
@pytest.mark.parametrize("binary", [False, True], ids=["real", "binary"])
def test_convolution(binary, kernel_size, strides, size, dtype):
    x = normal((2, *size, 3), dtype)
    kernel = normal((kernel_size, kernel_size, 3, 4), dtype, seed=1, scale=0.7)
    quantizers = {"input_quantizer": "approx_sign", "kernel_quantizer": ScaledSign()}
    layer = SymmetricConv2D(4, kernel_size, strides=strides, **(quantizers if binary else {}))
    layer.build(x.shape)
    layer.kernel.assign(kernel)
    y, dy, dx, (dkernel,) = run(layer, x)

    x, kernel, dy = (array.astype(np.float64) for array in (x, kernel, dy))
    scale = np.abs(kernel).mean((0, 1, 2))
    used = (sign(x), scale * sign(kernel)) if binary else (x, kernel)
    expected = convolution(*used, strides)
    assert y.shape == expected.shape == (2, -(-size[0] // strides), -(-size[1] // strides), 4)
    close(y, expected, dtype, 10)
    expected_dx, expected_dkernel = convolution_gradients(*used, dy, strides)
    if binary:
        expected_dx *= np.maximum(0, 2 - 2 * np.abs(x))
        expected_dkernel *= np.abs(kernel) <= 1
    close(dx, expected_dx, dtype, 10)
    close(dkernel, expected_dkernel, dtype, 10)


def test_kernel_sides_may_differ(dtype):
    x, kernel = normal((1, 6, 7, 2), dtype), normal((3, 5, 2, 4), dtype)
    layer = SymmetricConv2D(4, (3, 5), weights=[kernel])
    close(layer(x).numpy(), convolution(x, kernel), dtype, 10)


@pytest.mark.parametrize("binary", [False, True], ids=["real", "binary"])
@pytest.mark.parametrize(("groups", "strides"), [(2, 1), (2, 2), (4, 1)])
def test_grouped_convolution(groups, strides, binary, dtype):
    x, kernel = normal((2, 5, 6, 8), dtype), normal((3, 3, 8 // groups, 4), dtype)
    quantizers = {"input_quantizer": "ste_sign", "kernel_quantizer": "ste_sign"} if binary else {}
    layer = SymmetricConv2D(4, 3, strides=strides, groups=groups, **quantizers)
    layer.build(x.shape)
    layer.kernel.assign(kernel)
    y, dy, _, (dkernel,) = run(layer, x)
    used = (sign(x), sign(kernel)) if binary else (x, kernel)
    close(y, convolution(*used, strides, groups), dtype, 10)
    # The last group's gradient equals that of an ordinary convolution of its channels.
    channels, filters = 8 // groups, 4 // groups
    own = (used[0][..., -channels:], used[1][..., -filters:], dy[..., -filters:])
    _, expected = convolution_gradients(*(a.astype(np.float64) for a in own), strides)
    inside = np.abs(kernel[..., -filters:]) <= 1 if binary else 1
    close(dkernel[..., -filters:], expected * inside, dtype, 10)


def test_groups_need_no_xla():
    """Keras compiles grouped convolutions with XLA, which may be missing for an exported model."""
    layer = SymmetricConv2D(4, 3, groups=2)
    graph = tf.function(layer).get_concrete_function(tf.zeros((1, 4, 4, 2))).graph
    assert "_XlaMustCompile" not in str(graph.as_graph_def())


def test_dilated_convolution(dtype):
    x, kernel = normal((1, 8, 7, 2), dtype), normal((3, 3, 2, 3), dtype)
    layer = SymmetricConv2D(3, 3, dilation_rate=2, weights=[kernel])
    close(layer(x).numpy(), convolution(x, kernel, dilation=2), dtype, 10)


def test_valid_padding_and_even_kernel(dtype):
    x, kernel = normal((1, 6, 6, 2), dtype), normal((4, 4, 2, 3), dtype)
    layer = SymmetricConv2D(3, 4, padding="valid", weights=[kernel])
    close(layer(x).numpy(), convolution(x, kernel, pad=False), dtype, 10)


def test_padding_follows_the_sign_and_is_zero():
    """The sign of 0 is +1, but the padding is 0: a border pixel of an image of zeros sums fewer
    than nine taps."""
    layer = SymmetricConv2D(
        1, 3, input_quantizer="approx_sign", kernel_quantizer="ste_sign", kernel_initializer="ones"
    )
    y = layer(tf.zeros((1, 4, 4, 1)))[0, :, :, 0]
    np.testing.assert_array_equal(y, [[4, 6, 6, 4], [6, 9, 9, 6], [6, 9, 9, 6], [4, 6, 6, 4]])


def test_padding_at_stride_2_is_not_tensorflows():
    layer = SymmetricConv2D(1, 3, strides=2, kernel_initializer="ones")
    y = layer(tf.ones((1, 4, 4, 1)))[0, :, :, 0]
    np.testing.assert_array_equal(y, [[4, 6], [6, 9]])  # TensorFlow's "same" gives [[9, 6], [6, 4]]


def test_convolution_of_any_size():
    layer = SymmetricConv2D(2, 3, strides=2)
    model = tf.keras.Sequential([tf.keras.Input((None, None, 1)), layer])
    assert model(tf.zeros((1, 9, 6, 1))).shape == (1, 5, 3, 2)


@pytest.mark.parametrize("groups", [1, 2])
def test_binary_convolution_in_16_bits(policy, groups):
    x, kernel = normal((2, 6, 5, 4), "float32"), normal((3, 3, 4 // groups, 2), "float32")
    layer = SymmetricConv2D(
        2, 3, groups=groups, input_quantizer="approx_sign", kernel_quantizer="ste_sign"
    )
    layer.build(x.shape)
    layer.kernel.assign(kernel)
    with tf.GradientTape() as tape:
        y = layer(tf.constant(x))
    assert y.dtype == policy.compute_dtype
    expected = convolution(sign(x), sign(kernel), groups=groups)
    np.testing.assert_array_equal(tf.cast(y, tf.float32), expected)  # small integers are exact
    gradient = tape.gradient(y, layer.trainable_weights)[0]
    assert gradient.dtype == tf.float32 and np.isfinite(gradient).all() and np.any(gradient)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"kernel_size": 2}, "odd kernel size, not"),
        ({"kernel_size": (3, 4)}, "odd kernel size, not"),
        ({"kernel_size": 3, "data_format": "channels_first"}, "channels_last"),
        ({"kernel_size": 3, "pad_values": 1.0}, "padding is 0"),
    ],
)
def test_bad_convolutions(arguments, sentence):
    with pytest.raises(InvalidValueError, match=sentence):
        SymmetricConv2D(4, **arguments)


# --- SymmetricMaxPool2D ---


@pytest.mark.parametrize("size", [*SIZES, (1, 1)], ids=str)
def test_max_pool(size, dtype):
    """All inputs are negative here, so padding with 0 would be the maximum."""
    x = -1 - np.abs(normal((2, *size, 3), dtype))
    y, dy, dx, _ = run(SymmetricMaxPool2D(), x)
    padded = np.pad(x, [(0, 0), (1, 1), (1, 1), (0, 0)], constant_values=-np.inf)
    expected, dpadded = np.full(y.shape, np.nan), np.zeros(padded.shape)
    for n, i, j, c in np.ndindex(y.shape):
        window = padded[n, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3, c]
        expected[n, i, j, c] = window.max()
        row, column = np.unravel_index(window.argmax(), window.shape)
        dpadded[n, 2 * i + row, 2 * j + column, c] += dy[n, i, j, c]
    assert y.shape[1:3] == (-(-size[0] // 2), -(-size[1] // 2))
    close(y, expected, dtype)
    close(dx, dpadded[:, 1:-1, 1:-1], dtype)


def test_max_pool_in_16_bits(policy):
    y = SymmetricMaxPool2D()(tf.fill((1, 5, 4, 2), -3.0))
    assert y.dtype == policy.compute_dtype
    np.testing.assert_array_equal(tf.cast(y, tf.float32), np.full((1, 3, 2, 2), -3.0))
