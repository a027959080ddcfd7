"""Shifts, activations, padding of channels and learned scales against NumPy."""

import numpy as np
import pytest
import tensorflow as tf

from tests.zoo.layers.oracles import close, normal, run
from zoo.errors import InvalidValueError
from zoo.layers import LeakyClip, LearnableShift, LearnedScale, RPReLU, SubsamplePad

SIZES = [(6, 6), (7, 5), (8, 3)]

# --- shifts and activations ---


def set_weights(layer, shape, dtype, *values):
    layer.build((None, *shape[1:]))
    layer.set_weights([np.array(value, dtype) for value in values])
    return layer


EDGES = [-2, -1.000001, -1, -0.999999, -0.25, 0, 0.25, 0.999999, 1, 1.000001, 2, 3]


def edges(dtype):
    """Return (2, 3, 2, 3): 0, the clip's limits, their neighbours and others in every channel."""
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
    close(layer(x).numpy(), np.where(x > 0, x, 0.25 * x), dtype)  # its initial value
    layer = set_weights(layer, x.shape, dtype, shift_in, slope, shift_out)
    y, dy, dx, (dshift_in, dslope, dshift_out) = run(layer, x)

    shifted = x + shift_in
    positive = shifted > 0  # at 0 the gradient is the negative half's slope, as in PyTorch
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


# --- LearnedScale ---


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
