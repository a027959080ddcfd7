"""Make sure that `tf.keras` is Keras 2; larq needs it."""

from __future__ import annotations

import functools
import importlib.util
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.errors import InvalidValueError, KerasVersionError
from zoo.quiet import import_tensorflow

if TYPE_CHECKING:
    import tensorflow as tf

VARIABLE = "TF_USE_LEGACY_KERAS"
YES = ("1", "true", "True")  # the values that TensorFlow accepts as true


def prefer_keras2() -> None:
    """Ask TensorFlow for Keras 2, unless the user chose otherwise; imports nothing.

    TensorFlow reads the variable twice: on import, for `from tensorflow.keras import ...`, and when
    `tf.keras` is first used. If TensorFlow is imported but `tf.keras` is not yet used, this
    function does what TensorFlow would have done on import.
    """
    os.environ.setdefault(VARIABLE, "1")
    tensorflow = sys.modules.get("tensorflow")
    loader = getattr(tensorflow, "__dict__", {}).get("keras")
    unused = not getattr(loader, "_tfll_initialized", True)
    keras2 = importlib.util.find_spec("tf_keras")
    if tensorflow and unused and os.environ[VARIABLE] in YES and keras2 and keras2.origin:
        tensorflow.__path__.insert(0, str(Path(keras2.origin).parent / "api" / "_v2"))


def require_keras2() -> None:
    """Raise KerasVersionError if `tf.keras` is not Keras 2. Imports TensorFlow."""
    import_tensorflow()
    import tensorflow as tf

    if not tf.keras.Model.__module__.startswith("tf_keras"):
        value = os.environ.get(VARIABLE, "")
        when = "came too late" if value in YES else f"is set to {value}"
        raise KerasVersionError(
            f"Keras 3 is already active ({VARIABLE} {when}): set the environment variable "
            f"{VARIABLE}=1 before TensorFlow is imported, or import zoo first."
        )


def refuse_keras3(what: str, value: Any) -> None:
    """Raise InvalidValueError if `value` is, or contains, an object of Keras 3."""
    for each in _parts(value):
        module, _, _ = type(each).__module__.partition(".")
        if module == "keras" and "tf_keras" not in type(each).__module__:
            kind = type(each).__name__
            raise InvalidValueError(
                f"{what} is Keras 3's ({kind}), and this network is Keras 2's: take tf.keras's, "
                f"from 'import tensorflow as tf' after 'import zoo' or with {VARIABLE}=1."
            )


def _parts(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for each in value:
            yield from _parts(each)
    else:
        yield value


def watch_compile(model: tf.keras.Model) -> tf.keras.Model:
    """Make `model.compile` refuse objects of Keras 3 with a clear message."""
    if "compile" in vars(model):
        return model
    compile_keras2 = model.compile

    @functools.wraps(compile_keras2)
    def compile(*arguments: Any, **named: Any) -> None:
        positional = ("optimizer", "loss", "metrics")
        for what, value in [*zip(positional, arguments, strict=False), *named.items()]:
            refuse_keras3(f"The argument {what}", value)
        compile_keras2(*arguments, **named)

    model.compile = compile
    return model
