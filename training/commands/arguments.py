"""Arguments of a model of the catalog: read, checked, and the model built with them.

Importing this imports no TensorFlow.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from training.settings.assignments import parse_arguments, typed
from training.terminal import load_tensorflow
from zoo import catalog
from zoo.errors import InvalidValueError, UnknownNameError

PREFIX = "model."  # as recipes have it before the settings of their network
NO_WEIGHTS = "none"


def read_options(words: Sequence[str]) -> dict[str, Any]:
    """`key=value` as arguments of a model, with or without "model." in front.

    `weights` is None for random weights, and absent if not given.

    Raises:
        InvalidValueError: a word is no setting, or a key is given twice.
    """
    options: dict[str, Any] = {}
    for key, value in parse_arguments(words).items():
        name = key.removeprefix(PREFIX)
        if name in options:
            raise InvalidValueError(
                f"'{name}' is given twice, the second time as '{PREFIX}{name}'."
            )
        options[name] = value
    return without_word(options)


def without_word(options: Mapping[str, Any]) -> dict[str, Any]:
    """`options` with None in place of the word "none" for the weights."""
    found = dict(options)
    if str(found.get("weights", "")).casefold() == NO_WEIGHTS:
        found["weights"] = None
    return found


def parameters(name: str) -> Mapping[str, inspect.Parameter]:
    """What the function of the model `name` takes. Imports TensorFlow."""
    return inspect.signature(catalog.row(name).function()).parameters


def typed_arguments(name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of the model `name`, texts read as their types say; UnknownNameError for others."""
    valid = parameters(name)
    for key in options:
        if key not in valid:
            raise UnknownNameError("argument", key, valid)
    empty = inspect.Parameter.empty
    types = {k: Any if p.annotation is empty else p.annotation for k, p in valid.items()}
    return typed(options, types)


def build_model(name: str, options: Mapping[str, Any]) -> Any:
    """The model `name`, after a look at whether it takes these arguments."""
    import zoo

    row = catalog.row(name)  # raises for an unknown name, before the wait for TensorFlow
    load_tensorflow()
    options = typed_arguments(name, options)
    try:
        return zoo.get_model(name, **options)
    except (TypeError, ValueError) as error:
        if row.origin == "zoo":
            raise  # ours refuse values with a ZooError, so this is a bug
        raise InvalidValueError(str(error).partition("\n")[0]) from error
