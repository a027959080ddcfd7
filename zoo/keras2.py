"""Makes sure that `tf.keras` is Keras 2, which larq is written for."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

from zoo.errors import KerasVersionError
from zoo.quiet import import_tensorflow

VARIABLE = "TF_USE_LEGACY_KERAS"
YES = ("1", "true", "True")  # what TensorFlow takes for yes


def prefer_keras2() -> None:
    """Ask TensorFlow for Keras 2, unless the user did otherwise; imports nothing.

    TensorFlow reads the variable twice: on import, for `from tensorflow.keras import ...`, and when
    `tf.keras` is first used. Between the two, the first is made up for here.
    """
    os.environ.setdefault(VARIABLE, "1")
    tensorflow = sys.modules.get("tensorflow")
    loader = getattr(tensorflow, "__dict__", {}).get("keras")
    unused = not getattr(loader, "_tfll_initialized", True)
    keras2 = importlib.util.find_spec("tf_keras")
    if tensorflow and unused and os.environ[VARIABLE] in YES and keras2 and keras2.origin:
        tensorflow.__path__.insert(0, str(Path(keras2.origin).parent / "api" / "_v2"))


def require_keras2() -> None:
    """Raise KerasVersionError unless `tf.keras` is Keras 2. Imports TensorFlow."""
    import_tensorflow()
    import tensorflow as tf

    if not tf.keras.Model.__module__.startswith("tf_keras"):
        value = os.environ.get(VARIABLE, "")
        when = "came too late" if value in YES else f"is set to {value}"
        raise KerasVersionError(
            f"Keras 3 is already active ({VARIABLE} {when}): set the environment variable "
            f"{VARIABLE}=1 before TensorFlow is imported, or import zoo first."
        )
