"""Models by name and from files. Importing this imports no TensorFlow."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any

from zoo import catalog
from zoo.keras2 import require_keras2

if TYPE_CHECKING:
    import tensorflow as tf


def list_models(pattern: str | Sequence[str] | None = None, origin: str | None = None) -> list[str]:
    """Return the names of the models, including larq-zoo's.

    Args:
        pattern: a glob such as "react*", or a list of them; case does not matter.
        origin: "zoo" or "larq-zoo" to return only these models.
    """
    return [row.model for row in catalog.rows(pattern, origin)]


def get_model(name: str, /, **arguments: Any) -> tf.keras.Model:
    """Build a model of the catalog by name, ours or larq-zoo's.

    Args:
        name: the model's name in the catalog.
        arguments: the arguments of the model's function. larq-zoo's models also take `pooling`,
            `classes` and `name`.

    Raises:
        UnknownNameError: there is no such model; the message names the most similar one.
    """
    row = catalog.row(name)
    require_keras2()
    if row.origin == "larq-zoo":
        from zoo.larq_zoo_models import larq_zoo_model

        return larq_zoo_model(row, arguments)
    return row.function()(**arguments)


def load_model(
    path: str | PathLike[str], *, safe_mode: bool = True, **arguments: Any
) -> tf.keras.Model:
    """Load a model that Keras saved; Keras knows this zoo's layers then.

    A network that `lqz train` saved contains its class names and preprocessing; pass it as `model`
    to `preprocess_input` and `decode_predictions`.

    Args:
        path: a .keras or .h5 file, or the directory of a finished run; without `safe_mode` also the
            folder of a SavedModel.
        safe_mode: refuse everything that could run code: Lambda layers, SavedModels, and classes
            and functions from outside Keras, larq, this zoo and `custom_objects`. With False, code
            in the file is executed: use it only for files that you trust like a program.
        arguments: arguments of `tf.keras.models.load_model`, such as `custom_objects`, `compile`.

    Raises:
        FileError: in safe mode, the file is unsafe or cannot be read.
    """
    require_keras2()
    for module in ("layers", "quantizers"):
        importlib.import_module(f"zoo.{module}")
    from zoo.files import expanded
    from zoo.saved import load

    return load(expanded(path), safe_mode, arguments)
