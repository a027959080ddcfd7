"""Every layer against an oracle in NumPy: values, gradients, shapes, dtypes, saving, bad input."""

import itertools
import json

import numpy as np
import pytest
import tensorflow as tf

import zoo
from zoo.errors import InvalidValueError
from zoo.layers import (
    BatchNorm,
    LeakyClip,
    LearnableShift,
    LearnedScale,
    RPReLU,
    SubsamplePad,
    SymmetricConv2D,
    SymmetricMaxPool2D,
)
from zoo.quantizers import EDESign, ScaledSign, SelfDistributionSign

TOLERANCE = {"float32": 3e-6, "float64": 1e-12}


@pytest.fixture(params=["float32", "float64"])
def dtype(request):
    tf.keras.backend.set_floatx(request.param)
    yield request.param
    tf.keras.backend.set_floatx("float32")


@pytest.fixture(params=["mixed_float16", "mixed_bfloat16"])
def policy(request):
    tf.keras.mixed_precision.set_global_policy(request.param)
    yield tf.keras.mixed_precision.global_policy()
    tf.keras.mixed_precision.set_global_policy(None)


def normal(shape, dtype="float64", seed=0, scale=1.0):
    return np.random.default_rng(seed).normal(0, scale, shape).astype(dtype)


def run(layer, x, dy_seed=9, **call):
    """Output, upstream gradient, gradient to x and those to the layer's trainable weights."""
    x = tf.Variable(x)
    with tf.GradientTape() as tape:
        y = layer(x, **call)
    dy = normal(y.shape, y.dtype.as_numpy_dtype, dy_seed)
    dx, *dweights = tape.gradient(y, [x, *layer.trainable_weights], dy)
    return y.numpy(), dy, dx.numpy(), [gradient.numpy() for gradient in dweights]


def close(actual, expected, dtype, factor=1):
    """Equal within the dtype's tolerance, relative to the largest value expected."""
    assert actual.dtype == dtype
    atol = factor * TOLERANCE[dtype] * max(1, np.abs(expected).max())
    np.testing.assert_allclose(actual, expected, rtol=0, atol=atol)


def sign(x):
    return np.where(x < 0, -1.0, 1.0)


# --- SymmetricConv2D ---------------------------------------------------------------------------


def taps(padded, kernel, strides, dilation):
    """For each output pixel: its index and its window of the padded image."""
    reach = [(size - 1) * dilation + 1 for size in kernel.shape[:2]]
    height, width = ((n - r) // strides + 1 for n, r in zip(padded.shape[1:3], reach, strict=True))
    for i, j in itertools.product(range(height), range(width)):
        rows = slice(i * strides, i * strides + reach[0], dilation)
        columns = slice(j * strides, j * strides + reach[1], dilation)
        yield (i, j), (slice(None), rows, columns)


def convolution(x, kernel, strides=1, groups=1, dilation=1, pad=True):
    """Convolution, zeros of half the kernel's reach on every side; groups are runs of channels."""
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
    """Gradients to the input and the kernel of `convolution` (one group, no dilation)."""
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
    # The last group's gradient is that of an ordinary convolution of its own channels.
    channels, filters = 8 // groups, 4 // groups
    own = (used[0][..., -channels:], used[1][..., -filters:], dy[..., -filters:])
    _, expected = convolution_gradients(*(a.astype(np.float64) for a in own), strides)
    inside = np.abs(kernel[..., -filters:]) <= 1 if binary else 1
    close(dkernel[..., -filters:], expected * inside, dtype, 10)


def test_groups_need_no_xla():
    """Keras compiles grouped convolutions with XLA, which an exported model might not have."""
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
    """The sign of 0 is +1, yet a border pixel of an image of zeros sums fewer than nine taps."""
    layer = SymmetricConv2D(
        1, 3, input_quantizer="approx_sign", kernel_quantizer="ste_sign", kernel_initializer="ones"
    )
    y = layer(tf.zeros((1, 4, 4, 1)))[0, :, :, 0]
    np.testing.assert_array_equal(y, [[4, 6, 6, 4], [6, 9, 9, 6], [6, 9, 9, 6], [4, 6, 6, 4]])


def test_padding_at_stride_2_is_not_tensorflows():
    layer = SymmetricConv2D(1, 3, strides=2, kernel_initializer="ones")
    y = layer(tf.ones((1, 4, 4, 1)))[0, :, :, 0]
    np.testing.assert_array_equal(y, [[4, 6], [6, 9]])  # "same" of TensorFlow: [[9, 6], [6, 4]]


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


# --- SymmetricMaxPool2D ------------------------------------------------------------------------


@pytest.mark.parametrize("size", [*SIZES, (1, 1)], ids=str)
def test_max_pool(size, dtype):
    """Padding with 0 would win over every input here, all of which are negative."""
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


# --- BatchNorm ---------------------------------------------------------------------------------


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
    """A deviation of 1e-3 puts the variance below epsilon, whose exact value then matters."""
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
    """With the running statistics: training=False, or a frozen layer whatever `training` is."""
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


def test_batch_norm_is_accurate_far_from_zero():
    """A mean of 30 deviations in float32 over 100,000 pixels: sums must not lose the small part."""
    x = normal((8, 112, 112, 3), "float32", scale=1) + np.float32(30)
    layer = batch_norm("float32")
    hat = (layer(x, training=True).numpy() - [0.3, 0, -2]) / [2, -1, 0.5]
    # Subtracting the mean in float32 alone costs half an ulp of 30, 1e-6.
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
    """Statistics in 32 bits: the square of 400 is beyond float16."""
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


# --- shifts and activations --------------------------------------------------------------------


def set_weights(layer, shape, dtype, *values):
    layer.build((None, *shape[1:]))
    layer.set_weights([np.array(value, dtype) for value in values])
    return layer


EDGES = [-2, -1.000001, -1, -0.999999, -0.25, 0, 0.25, 0.999999, 1, 1.000001, 2, 3]


def edges(dtype):
    """(2, 3, 2, 3): 0, the clip, its neighbours and others in every channel."""
    return np.repeat(np.array(EDGES, dtype).reshape(2, 3, 2, 1), 3, axis=-1)


def test_learnable_shift(dtype):
    x, shift = edges(dtype), np.array([0.5, -1, 0])
    layer = LearnableShift()
    np.testing.assert_array_equal(layer(x), x)  # starts at 0
    layer = set_weights(layer, x.shape, dtype, shift)
    y, dy, dx, (dshift,) = run(layer, x)
    close(y, x + shift, dtype)
    close(dx, dy, dtype)
    close(dshift, dy.sum((0, 1, 2)), dtype)


def test_rprelu(dtype):
    x = edges(dtype)
    shift_in, slope, shift_out = np.array([0, 0.25, -1]), np.array([0.25, -0.5, 2]), np.arange(3.0)
    layer = RPReLU()
    close(layer(x).numpy(), np.where(x > 0, x, 0.25 * x), dtype)  # as it starts
    layer = set_weights(layer, x.shape, dtype, shift_in, slope, shift_out)
    y, dy, dx, (dshift_in, dslope, dshift_out) = run(layer, x)

    shifted = x + shift_in
    positive = shifted > 0  # at 0 the negative half's slope counts, as in PyTorch
    assert (shifted == 0).any(axis=(0, 1, 2)).all()
    close(y, np.where(positive, shifted, slope * shifted) + shift_out, dtype)
    expected = dy * np.where(positive, 1, slope)
    close(dx, expected, dtype)
    close(dshift_in, expected.sum((0, 1, 2)), dtype)
    close(dslope, (dy * np.where(positive, 0, shifted)).sum((0, 1, 2)), dtype)
    close(dshift_out, dy.sum((0, 1, 2)), dtype)


@pytest.mark.parametrize("slope", [0.1, 0.0, 0.7])
def test_leaky_clip(slope, dtype):
    x = edges(dtype)
    y, dy, dx, _ = run(LeakyClip(slope), x)
    beyond = np.abs(x) > 1
    close(y, np.where(beyond, np.sign(x) + slope * (x - np.sign(x)), x), dtype)
    close(dx, dy * np.where(beyond, slope, 1), dtype)


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize(("filters", "strides"), [(8, 2), (7, 2), (4, 3), (4, 1)])
def test_subsample_pad(filters, strides, size, dtype):
    x = normal((2, *size, 4), dtype)
    y, dy, dx, _ = run(SubsamplePad(filters, strides), x)
    before = (filters - 4) // 2
    expected = np.zeros((2, -(-size[0] // strides), -(-size[1] // strides), filters))
    expected[..., before : before + 4] = x[:, ::strides, ::strides]
    close(y, expected, dtype)
    expected_dx = np.zeros_like(x)
    expected_dx[:, ::strides, ::strides] = dy[..., before : before + 4]
    close(dx, expected_dx, dtype)


def test_subsample_pad_does_not_drop_channels():
    with pytest.raises(InvalidValueError, match="4 channels cannot be padded to 3"):
        SubsamplePad(3)(tf.zeros((1, 2, 2, 4)))


# --- LearnedScale ------------------------------------------------------------------------------


FACTORS = {"case1": ["o"], "case2": ["hwo"], "case3": ["o", "hw"], "case4": ["o", "h", "w"]}


@pytest.mark.parametrize("case", FACTORS)
def test_learned_scale(case, dtype):
    x = normal((2, 4, 3, 5), dtype)
    sides = {"h": 4, "w": 3, "o": 5}
    factors = [
        1 + normal([sides[axis] for axis in axes], dtype, seed, scale=0.5)
        for seed, axes in enumerate(FACTORS[case])
    ]
    layer = LearnedScale(case)
    np.testing.assert_array_equal(layer(x), x)  # starts at 1
    np.testing.assert_array_equal(LearnedScale(case, initial=0.5)(x), x / 2)
    assert [np.size(weight) for weight in layer.weights] == [factor.size for factor in factors]
    for weight, factor in zip(layer.weights, factors, strict=True):
        weight.assign(factor.reshape(weight.shape))
    y, dy, dx, gradients = run(layer, x)

    x, dy = x.astype(np.float64), dy.astype(np.float64)
    axes = FACTORS[case]
    product = np.einsum(",".join(axes) + "->" + ("o" if case == "case1" else "hwo"), *factors)
    full = np.broadcast_to(product, (4, 3, 5))
    close(layer.folded().numpy() * np.ones((4, 3, 5), dtype), full, dtype)
    assert layer.folded().shape == ((5,) if case == "case1" else (4, 3, 5))
    close(y, x * full, dtype)
    close(dx, dy * full, dtype)
    for index, axes in enumerate(FACTORS[case]):
        others = [f for i, f in enumerate(factors) if i != index]
        names = [n for i, n in enumerate(FACTORS[case]) if i != index]
        subscripts = ",".join(["nhwo", "nhwo", *names]) + "->" + axes
        close(
            gradients[index].reshape(factors[index].shape),
            np.einsum(subscripts, x, dy, *others),
            dtype,
            3,
        )


def test_learned_scale_of_any_size():
    model = tf.keras.Sequential([tf.keras.Input((None, None, 3)), LearnedScale("case1")])
    assert model(tf.zeros((1, 9, 6, 3))).shape == (1, 9, 6, 3)


@pytest.mark.parametrize("case", ["case2", "case3", "case4"])
def test_learned_scale_needs_a_size(case):
    with pytest.raises(InvalidValueError, match="scale='case1' works for any size"):
        LearnedScale(case).build((None, None, 6, 3))


def test_learned_scale_bad_arguments():
    with pytest.raises(InvalidValueError, match="case1, case2, case3, case4, not 'case5'"):
        LearnedScale("case5")
    with pytest.raises(InvalidValueError, match=r"\(batch, height, width, channels\)"):
        LearnedScale()(tf.zeros((4, 3)))


# --- all layers: precision and saving ----------------------------------------------------------


NON_DEFAULT = [
    (LearnableShift(name="other"), {"name": "other"}),
    (RPReLU(slope=0.5), {"slope": 0.5}),
    (LeakyClip(slope=0.3), {"slope": 0.3}),
    (LeakyClip(slope=0.0), {"slope": 0.0}),
    (SubsamplePad(9, strides=3), {"filters": 9, "strides": 3}),
    *((LearnedScale(case, 0.1), {"case": case, "initial": 0.1}) for case in LearnedScale.CASES),
    (SymmetricMaxPool2D(trainable=False), {"trainable": False}),
    (BatchNorm(momentum=0.7, epsilon=1e-3), {"momentum": 0.7, "epsilon": 1e-3}),
    (BatchNorm(scale=False), {"scale": False, "center": True}),
    (
        SymmetricConv2D(4, 5, strides=2, groups=2, dilation_rate=1, use_bias=True),
        {"filters": 4, "kernel_size": (5, 5), "strides": (2, 2), "groups": 2, "use_bias": True},
    ),
    (SymmetricConv2D(4, 4, padding="valid"), {"padding": "valid", "kernel_size": (4, 4)}),
    (SymmetricConv2D(4, 3, kernel_quantizer="magnitude_aware_sign"), {}),
    (
        SymmetricConv2D(
            4,
            3,
            input_quantizer=EDESign(3.0),
            kernel_quantizer=SelfDistributionSign("ede", 2.0),
            kernel_constraint="weight_clip",
        ),
        {"use_bias": False, "padding": "same"},
    ),
]
LABELS = [f"{index}-{type(layer).__name__}" for index, (layer, _) in enumerate(NON_DEFAULT)]


@pytest.mark.parametrize(("layer", "arguments"), NON_DEFAULT, ids=LABELS)
def test_round_trip(layer, arguments):
    copy = tf.keras.layers.deserialize(tf.keras.layers.serialize(layer))
    assert type(copy) is type(layer)
    assert arguments.items() <= copy.get_config().items()
    assert copy.get_config() == layer.get_config()
    twin = type(layer).from_config(layer.get_config())
    x = tf.constant(normal((2, 6, 6, 4), "float32"))
    expected = twin(x)
    copy.build(x.shape)
    copy.set_weights(twin.get_weights())
    np.testing.assert_array_equal(copy(x), expected)


def comparable(config):
    """A configuration as text, without the shapes that a quantizer was last built with."""

    def pruned(value):
        if isinstance(value, dict):
            return {k: pruned(v) for k, v in value.items() if k != "build_config"}
        return value

    return json.dumps(pruned(config))


@pytest.mark.parametrize("suffix", [".keras", ".h5", ""], ids=["keras", "hdf5", "savedmodel"])
def test_saved_model_of_all_layers(suffix, tmp_path):
    x = image = tf.keras.Input((8, 8, 4))
    originals = [layer for layer, _ in NON_DEFAULT]
    if not suffix:  # a SavedModel takes a second a layer: the last of each class
        originals = {type(layer): layer for layer in originals}.values()
    layers = [type(layer).from_config(layer.get_config()) for layer in originals]
    outputs = [tf.keras.layers.GlobalAveragePooling2D()(layer(x)) for layer in layers]
    model = tf.keras.Model(image, tf.keras.layers.concatenate(outputs))
    for seed, weight in enumerate(model.weights):
        weight.assign(0.5 + np.abs(normal(weight.shape, "float32", seed)))
    path = str(tmp_path / f"model{suffix}")
    model.save(path)
    loaded = zoo.load_model(path, safe_mode=bool(suffix))  # a SavedModel is a program
    batch = normal((2, 8, 8, 4), "float32")
    np.testing.assert_allclose(loaded(batch), model(batch), rtol=1e-6, atol=1e-6)
    assert [type(layer) for layer in loaded.layers] == [type(layer) for layer in model.layers]
    for old, new in zip(model.layers, loaded.layers, strict=True):
        assert comparable(new.get_config()) == comparable(old.get_config())


@pytest.mark.parametrize(("layer", "arguments"), NON_DEFAULT, ids=LABELS)
def test_mixed_precision(layer, arguments, policy):
    """16-bit outputs, 32-bit weights, finite gradients close to those of float32."""
    config = {key: value for key, value in layer.get_config().items() if key != "dtype"}
    # Quantizers carry a dtype of their own: made anew under the policy.
    for key in ("input_quantizer", "kernel_quantizer"):
        if isinstance(config.get(key), dict):
            config[key]["config"].pop("dtype", None)
    twin = type(layer).from_config(config)
    x = tf.constant(normal((2, 6, 6, 4), "float32"))
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = twin(x, training=True) if isinstance(twin, BatchNorm) else twin(x)
    assert y.dtype == policy.compute_dtype
    assert all(weight.dtype == tf.float32 for weight in twin.weights)
    for gradient in tape.gradient(y, [x, *twin.trainable_weights]):
        assert gradient.dtype == tf.float32 and np.isfinite(gradient).all()
