"""Every quantizer against an oracle in NumPy, written from the papers: values and gradients."""

import larq as lq
import numpy as np
import pytest
import tensorflow as tf

from zoo.errors import InvalidValueError
from zoo.layers import SymmetricConv2D
from zoo.quantizers import (
    ApproximateSign,
    EDESign,
    ScaledSign,
    SelfDistributionSign,
    StraightThroughSign,
)

TOLERANCE = {"float32": 2e-6, "float64": 1e-13}
FILTER = (0, 1, 2)  # the axes of one filter of an HWIO kernel


def edge_points(dtype):
    """Return 0, the clip's limits +-1, the neighbours of each, and points on all sides.

    The neighbour of 0 is the smallest normal number: TensorFlow treats smaller ones as 0.
    """
    one, zero = np.ones((), dtype), np.zeros((), dtype)
    half = [zero, np.finfo(dtype).tiny, 1e-3, 0.5, np.nextafter(one, zero), one]
    half += [np.nextafter(one, 2 * one), 1.5, 4.0]
    return np.array([*half, *(-np.array(half))], dtype)


def kernel_with_edges(dtype, shape=(3, 3, 4, 5), seed=0):
    """Return an HWIO kernel with a sixth of it beyond +-1, and every edge point in each filter."""
    kernel = np.random.default_rng(seed).normal(0, 0.7, shape).astype(dtype)
    points = edge_points(dtype)
    kernel.reshape(-1, shape[-1])[: len(points)] = points[:, None]
    return kernel


def upstream(shape, dtype, seed=1):
    return np.random.default_rng(seed).normal(0, 2, shape).astype(dtype)


def values_and_gradients(quantizer, x, dy):
    """Return output, gradient to x and gradient to the quantizer's first weight, if it has one."""
    x = tf.Variable(x)
    with tf.GradientTape() as tape:
        y = quantizer(x)
    weights = list(getattr(quantizer, "trainable_weights", []))
    return [y.numpy(), *(g.numpy() for g in tape.gradient(y, [x, *weights], dy))]


def sign(x):
    return np.where(x < 0, -1.0, 1.0)


def within(x):
    return (np.abs(x) <= 1).astype(float)


def tanh_slope(x, t):
    return max(1 / t, 1) * t * (1 - np.tanh(t * x.astype(np.float64)) ** 2)


# --- signs of activations ----------------------------------------------------------------


def triangle(x):
    return np.where((x >= -1) & (x < 0), 2 + 2 * x, np.where((x >= 0) & (x < 1), 2 - 2 * x, 0))


@pytest.mark.parametrize(
    ("quantizer", "slope"), [(ApproximateSign, triangle), (StraightThroughSign, within)]
)
def test_signs_of_activations(quantizer, slope, dtype):
    x = edge_points(dtype)
    dy = upstream(x.shape, dtype)
    y, dx = values_and_gradients(quantizer(dtype=dtype), x, dy)
    assert y.dtype == dx.dtype == dtype
    np.testing.assert_array_equal(y, sign(x))
    np.testing.assert_allclose(dx, dy * slope(x), rtol=TOLERANCE[dtype])


@pytest.mark.parametrize("sixteen_bits", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize(
    ("quantizer", "larqs"),
    [(ApproximateSign(), "approx_sign"), (StraightThroughSign(), "ste_sign")],
    ids=["approximate", "straight_through"],
)
def test_signs_are_larqs_to_the_bit(quantizer, larqs, sixteen_bits):
    x = np.concatenate([edge_points("float32"), np.linspace(-2, 2, 401, dtype="float32")])
    x, dy = tf.cast(x, sixteen_bits), tf.cast(upstream(x.shape, "float32"), sixteen_bits)
    ours = values_and_gradients(quantizer, x, dy)
    theirs = values_and_gradients(lq.quantizers.get(larqs), x, dy)
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("t", [1e-3, 0.1, 1.0, 3.3, 10.0])
def test_error_decay_estimator(t, dtype):
    x = edge_points(dtype)
    dy = upstream(x.shape, dtype)
    y, dx = values_and_gradients(EDESign(t), x, dy)
    assert y.dtype == dx.dtype == dtype
    np.testing.assert_array_equal(y, sign(x))
    # 1 - tanh^2 cancels if tanh is nearly 1, so the tolerance is absolute.
    np.testing.assert_allclose(dx, dy * tanh_slope(x, t), atol=10 * t * TOLERANCE[dtype], rtol=1e-5)


def test_estimator_follows_its_sharpness_in_a_traced_function():
    quantizer = EDESign(1.0)
    x, traces = tf.constant([-0.7, 0.2, 1.4]), []

    @tf.function
    def slope(x):
        traces.append(None)
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = quantizer(x)
        return tape.gradient(y, x)

    for t in (1.0, 0.01, 6.0):
        quantizer.t.assign(t)
        np.testing.assert_allclose(slope(x), tanh_slope(x.numpy(), t), rtol=1e-5, atol=1e-5)
    assert len(traces) == 1
    assert quantizer.weights == []  # a schedule's hyper-parameter, not a weight to save or count


# --- signs of kernels --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("quantizer", "scales_gradient"),
    [(ScaledSign(), False), (lq.quantizers.MagnitudeAwareSign(clip_value=1.0), True)],
    ids=["ScaledSign", "magnitude_aware_sign"],
)
def test_scaled_signs(quantizer, scales_gradient, dtype):
    quantizer = type(quantizer).from_config({**quantizer.get_config(), "dtype": dtype})
    w = kernel_with_edges(dtype)
    dy = upstream(w.shape, dtype)
    scale = np.abs(w.astype(np.float64)).mean(FILTER)
    y, dw = values_and_gradients(quantizer, w, dy)
    assert y.dtype == dw.dtype == dtype
    np.testing.assert_allclose(y, scale * sign(w), rtol=TOLERANCE[dtype])
    # The authors' code detaches the scale; the paper multiplies the gradient by it.
    expected = dy * within(w) * (scale if scales_gradient else 1)
    np.testing.assert_allclose(dw, expected, rtol=TOLERANCE[dtype])
    assert all(len(np.unique(y[..., i])) == 2 for i in range(y.shape[-1]))


def test_magnitude_aware_sign_by_name_is_the_one_tested():
    assert lq.quantizers.get("magnitude_aware_sign").clip_value == 1.0


def self_distribution(w, alpha):
    """Return the shifted kernel and its shift's derivative with respect to alpha, in float64."""
    w, gate = w.astype(np.float64), 1 / (1 + np.exp(-alpha.astype(np.float64)))
    mean = w.mean(FILTER)
    return w + gate * 0.01 * mean, gate * (1 - gate) * 0.01 * mean


@pytest.mark.parametrize(
    ("estimator", "t", "slope"),
    [("ste", 1.0, within)]
    + [("ede", t, lambda x, t=t: tanh_slope(x, t)) for t in (0.01, 1.0, 5.0)],
)
def test_self_distribution(estimator, t, slope, dtype):
    w = kernel_with_edges(dtype) + np.linspace(-0.4, 0.4, 5, dtype=dtype)  # means that differ
    alpha = np.array([0, -2, 3, 0.5, 30], dtype)
    dy = upstream(w.shape, dtype)
    quantizer = SelfDistributionSign(estimator, t)
    quantizer.build(w.shape)
    np.testing.assert_array_equal(quantizer.alpha, np.zeros(5))
    quantizer.alpha.assign(alpha)

    shifted, shift_slope = self_distribution(w, alpha)
    y, dw, dalpha = values_and_gradients(quantizer, w, dy)
    assert y.dtype == dw.dtype == dalpha.dtype == dtype
    np.testing.assert_array_equal(y, sign(shifted))
    expected = dy.astype(np.float64) * slope(shifted)  # the mean is detached
    tolerance = {"rtol": 10 * TOLERANCE[dtype], "atol": 10 * TOLERANCE[dtype]}
    np.testing.assert_allclose(dw, expected, **tolerance)
    np.testing.assert_allclose(dalpha, expected.sum(FILTER) * shift_slope, **tolerance)


def test_self_distribution_shifts_before_sign_and_clip():
    w = np.full((1, 1, 200, 1), 0.5, np.float32)
    # Shift by 0.01 * sigmoid(20) * about 0.5 = 0.005.
    w[0, 0, :6, 0] = [-0.004, -0.006, 0.998, 0.994, -1.004, -1.006]
    quantizer = SelfDistributionSign()
    quantizer.build(w.shape)
    quantizer.alpha.assign([20.0])
    y, dw, _ = values_and_gradients(quantizer, w, np.full_like(w, 3))
    np.testing.assert_array_equal(y[0, 0, :6, 0], [1, -1, 1, 1, -1, -1])
    np.testing.assert_array_equal(dw[0, 0, :6, 0], [3, 3, 0, 3, 3, 0])


def test_self_distribution_at_the_clip(dtype):
    """Without a shift (sigmoid(-1e4) is 0), -1 and 1 still count as inside."""
    x = edge_points(dtype).reshape(1, 1, -1, 1)
    quantizer = SelfDistributionSign()
    quantizer.build(x.shape)
    quantizer.alpha.assign(np.array([-1e4], dtype))
    dy = upstream(x.shape, dtype)
    y, dw, _ = values_and_gradients(quantizer, x, dy)
    np.testing.assert_array_equal(y, sign(x))
    np.testing.assert_array_equal(dw, dy * within(x))


# --- precision, serialisation, bad arguments ---------------------------------------------


def test_16_bit_kernels(policy):
    """The mean over 18,432 weights of a filter needs more than 16 bits."""
    compute = policy.compute_dtype
    kernel = np.random.default_rng(0).normal(0, 0.5, (3, 3, 2048, 2)).astype(np.float32)
    w = tf.cast(kernel, compute)
    quantizer = ScaledSign()
    y = quantizer(w)
    assert y.dtype == compute
    scale = np.abs(tf.cast(w, tf.float64).numpy()).mean(FILTER)
    relative = {"float16": 1e-3, "bfloat16": 8e-3}[compute]  # only the result is rounded
    assert np.abs(np.abs(tf.cast(y, tf.float64)) / scale - 1).max() < relative


@pytest.mark.parametrize("estimator", ["ste", "ede"])
def test_16_bit_self_distribution(policy, estimator):
    quantizer = SelfDistributionSign(estimator, t=0.1)
    w = tf.Variable(tf.cast(kernel_with_edges("float32"), policy.compute_dtype))
    with tf.GradientTape() as tape:
        y = quantizer(w)
    dw, dalpha = tape.gradient(y, [w, quantizer.alpha])
    assert y.dtype == dw.dtype == policy.compute_dtype
    assert quantizer.alpha.dtype == dalpha.dtype == tf.float32
    assert set(np.unique(tf.cast(y, tf.float32))) == {-1, 1}
    assert np.isfinite(tf.cast(dw, tf.float32)).all() and np.isfinite(dalpha).all()


@pytest.mark.parametrize(
    ("quantizer", "arguments"),
    [
        (ScaledSign(), {}),
        (EDESign(), {"t": 1.0}),
        (EDESign(0.25), {"t": 0.25}),
        (SelfDistributionSign(), {"estimator": "ste", "t": 1.0}),
        (SelfDistributionSign("ede", t=2.5), {"estimator": "ede", "t": 2.5}),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, dict) else "",
)
def test_round_trips(quantizer, arguments):
    """Alone and as part of a layer, every argument is restored and has an effect."""
    alone = tf.keras.layers.deserialize(tf.keras.layers.serialize(quantizer))
    conv = SymmetricConv2D(4, 3, kernel_quantizer=quantizer)
    in_layer = tf.keras.layers.deserialize(tf.keras.layers.serialize(conv)).kernel_quantizer
    x = tf.constant(np.linspace(-2, 2, 18, dtype=np.float32).reshape(1, 3, 2, 3))

    def slope(quantizer):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = quantizer(x)
        return tape.gradient(y, x).numpy()

    for copy in (alone, in_layer):
        assert type(copy) is type(quantizer)
        assert copy.precision == 1
        assert arguments.items() <= copy.get_config().items()
        np.testing.assert_array_equal(slope(copy), slope(quantizer))


@pytest.mark.parametrize("t", [0, -1.0, float("nan")])
def test_sharpness_must_be_positive(t):
    with pytest.raises(InvalidValueError, match="t must be greater than 0"):
        EDESign(t)
    with pytest.raises(InvalidValueError, match="t must be greater than 0"):
        SelfDistributionSign("ede", t=t)


def test_unknown_estimator():
    with pytest.raises(InvalidValueError, match=r"'ste' or 'ede', not 'tanh'"):
        SelfDistributionSign("tanh")
