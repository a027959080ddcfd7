"""The benchmark of XNOR-Net++'s reconstruction claim: scales compared with NumPy, and results."""

import csv
import importlib.util
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from zoo.layers import LearnedScale, SymmetricConv2D

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def benchmark():
    path = ROOT / "benchmarks" / "xnor_reconstruction.py"
    spec = importlib.util.spec_from_file_location("xnor_reconstruction", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("strides", [1, 2])
def test_analytic_scale(benchmark, strides):
    """Return alpha = mean |w| of a filter, K = mean |x| over window and channels (1603.05279)."""
    rng = np.random.default_rng(0)
    x, kernel = rng.normal(size=(2, 7, 6, 5)), rng.normal(size=(3, 3, 5, 4))
    alpha, box = benchmark.analytic_scale(tf.constant(x), tf.constant(kernel), strides)
    np.testing.assert_allclose(alpha, [np.abs(kernel[..., o]).mean() for o in range(4)])
    padded = np.abs(np.pad(x, [(0, 0), (1, 1), (1, 1), (0, 0)]))
    assert box.shape == (2, -(-7 // strides), -(-6 // strides), 1)
    for n, i, j, _ in np.ndindex(*box.shape):
        window = padded[n, i * strides : i * strides + 3, j * strides : j * strides + 3]
        np.testing.assert_allclose(box[n, i, j, 0], window.mean())


@pytest.mark.parametrize("case", LearnedScale.CASES)
def test_learned_scale_is_found(benchmark, case):
    """The outputs are the binary ones times a factor of the case's shape, so no error remains."""
    binary = tf.constant(np.random.default_rng(0).normal(size=(16, 3, 4, 5)), tf.float32)
    truth = LearnedScale(case)
    truth.build(binary.shape)
    for seed, weight in enumerate(truth.weights):
        weight.assign(np.random.default_rng(seed).uniform(0.05, 0.2, weight.shape))
    real = binary * truth.folded()
    found = benchmark.learned_scale(case, binary, real, steps=300)
    np.testing.assert_allclose(found.folded(), truth.folded(), rtol=0.03)


def test_errors_of_a_layer(benchmark):
    """Analytic methods equal NumPy's; learned scales are better on inputs that fit them."""
    rng = np.random.default_rng(0)
    images = rng.normal(size=(64, 6, 6, 4)) * np.linspace(0.2, 3, 6)[:, None, None]
    conv = SymmetricConv2D(3, 3)
    conv.build(images.shape)
    found = benchmark.errors(conv, *np.split(images.astype(np.float32), 2), steps=100)
    assert set(found) == {"real", *benchmark.METHODS}
    tested, kernel = images[32:], conv.kernel.numpy().astype(np.float64)

    def convolve(x, kernel):
        padded = np.pad(x, [(0, 0), (1, 1), (1, 1), (0, 0)])
        windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))
        return np.einsum("nhwiab,abio->nhwo", windows, kernel)

    real, binary = convolve(tested, kernel), convolve(np.sign(tested), np.sign(kernel))
    alpha = np.abs(kernel).mean((0, 1, 2))
    box = convolve(np.abs(tested), np.full((3, 3, 4, 1), 1 / 36))
    expected = {
        "real": np.abs(real).mean(),
        "alpha": np.abs(real - alpha * binary).mean(),
        "alpha_K": np.abs(real - alpha * box * binary).mean(),
    }
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, rel=1e-4)
    assert max(found["case2"], found["case3"], found["case4"]) < found["case1"] < found["real"]


def test_the_committed_results_show_the_claim(benchmark):
    """On every layer, every learned scale has a smaller error than both analytic ones."""
    with (ROOT / "results" / "xnor_reconstruction.csv").open(encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    layers = {row["layer"] for row in rows}
    assert len(layers) == 18 and len(rows) == 18 * len(benchmark.METHODS)
    assert all("benchmarks.xnor_reconstruction" in row["command"] for row in rows)
    for layer in layers:
        error = {row["method"]: float(row["l1"]) for row in rows if row["layer"] == layer}
        learned = [error[case] for case in LearnedScale.CASES]
        assert max(learned) < min(error["alpha"], error["alpha_K"])
