"""Makes sure that `tf.keras` is Keras 2, which larq is written for."""

from __future__ import annotations

import os
import sys

from zoo.errors import KerasVersionError


def prefer_keras2() -> None:
    """Ask TensorFlow for Keras 2. Takes effect if `tf.keras` was not used yet; imports nothing."""
    os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")


def require_keras2() -> None:
    """Raise KerasVersionError unless `tf.keras` is Keras 2. Imports TensorFlow."""
    import tensorflow as tf

    if not tf.keras.Model.__module__.startswith("tf_keras"):
        when = "is set to 0" if os.environ.get("TF_USE_LEGACY_KERAS") == "0" else "came too late"
        raise KerasVersionError(
            f"Keras 3 is already active (TF_USE_LEGACY_KERAS {when}): set the environment variable "
            "TF_USE_LEGACY_KERAS=1 before TensorFlow is imported, or import zoo first."
        )


def quiet_tensorflow() -> None:
    """Silence TensorFlow's start-up chatter unless the user asked for it; before its import."""
    if "tensorflow" not in sys.modules:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
