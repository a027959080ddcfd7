"""Losses on logits, one value per image, so that workers can average over the global batch."""

from __future__ import annotations

import tensorflow as tf


def cross_entropy(logits: tf.Tensor, labels: tf.Tensor, label_smoothing: float = 0.0) -> tf.Tensor:
    """Return the cross entropy with (smoothed) labels.

    Args:
        logits: (batch, classes), float32.
        labels: (batch,), int32.
        label_smoothing: share of the target that is spread evenly over all classes.

    Returns:
        (batch,), nats.
    """
    classes = logits.shape[-1]
    targets = tf.one_hot(labels, classes, dtype=logits.dtype)
    targets = targets * (1 - label_smoothing) + label_smoothing / classes
    return tf.nn.softmax_cross_entropy_with_logits(targets, logits)


def distributional_loss(logits: tf.Tensor, teacher_logits: tf.Tensor) -> tf.Tensor:
    """Return ReActNet's loss (2003.03488, section 4.3): cross entropy of both softmax outputs.

    It uses no labels. Both arguments have shape (batch, classes); returns (batch,), nats.
    """
    targets = tf.stop_gradient(tf.nn.softmax(teacher_logits))
    return tf.nn.softmax_cross_entropy_with_logits(targets, logits)
