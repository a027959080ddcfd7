"""Learning rates and losses against values computed by hand or in NumPy."""

import math

import numpy as np
import pytest

from training.loop.losses import cross_entropy, distributional_loss
from training.loop.schedules import cosine, held, learning_rate, linear, steps


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def test_linear_by_epoch_is_the_authors_lambda():
    rates = [learning_rate(linear(), 5e-4, s, 10, 4, every="epoch") for s in range(40)]
    assert rates == [5e-4 * (1 - epoch / 4) for epoch in range(4) for _ in range(10)]


def test_linear_by_step_falls_every_step():
    rates = [learning_rate(linear(), 1.0, s, 10, 4) for s in range(40)]
    np.testing.assert_allclose(rates, 1 - np.arange(40) / 40, rtol=1e-12)


def test_cosine_and_steps():
    assert learning_rate(cosine(), 0.1, 20, 10, 4) == pytest.approx(0.05)
    assert learning_rate(cosine(), 0.1, 10, 10, 4) == pytest.approx(0.05 * (1 + math.sqrt(0.5)))
    at = [learning_rate(steps([0.5, 0.75]), 0.01, s, 1, 20, every="epoch") for s in (9, 10, 15)]
    np.testing.assert_allclose(at, [0.01, 0.001, 0.0001])


def test_held_falls_in_the_last_third():
    rates = [learning_rate(held(), 0.01, step, 10, 3) for step in (0, 10, 20, 25)]
    assert rates == pytest.approx([0.01, 0.01, 0.01, 0.005])


def test_cross_entropy_with_smoothing():
    logits = np.random.default_rng(0).normal(size=(5, 7)).astype("float32")
    labels = np.array([0, 6, 3, 3, 1], "int32")
    targets = np.eye(7)[labels] * 0.9 + 0.1 / 7
    expected = -(targets * np.log(softmax(logits.astype("float64")))).sum(-1)
    np.testing.assert_allclose(cross_entropy(logits, labels, 0.1), expected, rtol=1e-5)


def test_distributional_loss_has_no_label_and_is_least_for_equal_outputs():
    draw = np.random.default_rng(1)
    student, teacher = draw.normal(size=(2, 5, 7)).astype("float32")
    p = softmax(teacher.astype("float64"))
    expected = -(p * np.log(softmax(student.astype("float64")))).sum(-1)
    np.testing.assert_allclose(distributional_loss(student, teacher), expected, rtol=1e-5)
    assert (distributional_loss(teacher, teacher).numpy() < expected).all()
