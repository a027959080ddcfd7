"""Read and check the arguments of a catalog model, and build the model with them.

Importing this imports no TensorFlow.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import zoo
from training.settings.assignments import parse_arguments, typed
from training.terminal import load_tensorflow
from zoo import catalog
from zoo.errors import InvalidValueError, UnknownNameError, WeightsError
from zoo.files import expanded
from zoo.pretrained.records import names_a_file

PREFIX = "model."  # recipes write it before the settings of their network
NO_WEIGHTS = "none"


def read_options(words: Sequence[str]) -> dict[str, Any]:
    """Read `key=value` words as arguments of a model, with or without "model." in front.

    `weights` is None for random weights, and absent if not given.

    Raises:
        InvalidValueError: a word is not key=value, or a key is given twice.
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
    """Return `options` with None instead of the word "none" for the weights."""
    found = dict(options)
    if str(found.get("weights", "")).casefold() == NO_WEIGHTS:
        found["weights"] = None
    return found


def parameters(name: str) -> Mapping[str, inspect.Parameter]:
    """Return the parameters of the function of the model `name`. Imports TensorFlow."""
    return inspect.signature(catalog.row(name).function()).parameters


def typed_arguments(name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Convert texts to the types of the model's arguments; UnknownNameError for an unknown one."""
    valid = parameters(name)
    for key in options:
        if key not in valid:
            raise UnknownNameError("argument", key, valid)
    empty = inspect.Parameter.empty
    types = {k: Any if p.annotation is empty else p.annotation for k, p in valid.items()}
    return typed(options, types)


def check_early(name: str, options: Mapping[str, Any]) -> None:
    """Make the checks that need no TensorFlow.

    Raises:
        UnknownNameError: the model `name` lacks an argument.
        WeightsError: the file of weights does not exist.
    """
    valid = _stub().get(name)
    for key in options:
        if valid and key not in valid:
            raise UnknownNameError("argument", key, valid)
    check_weights_file(options.get("weights"))


def check_weights_file(weights: Any) -> None:
    """Raise WeightsError if `weights` is the path of a file that does not exist."""
    if isinstance(weights, str | Path) and names_a_file(weights) and not expanded(weights).exists():
        raise WeightsError(f"There is no weights file '{weights}'.")


@cache
def _stub() -> Mapping[str, list[str]]:
    """Return the argument names of this zoo's models from the type stub."""
    stub = Path(zoo.__file__).with_suffix(".pyi")
    body = ast.parse(stub.read_text(encoding="utf-8")).body if stub.is_file() else []
    functions = [node for node in body if isinstance(node, ast.FunctionDef)]
    return {each.name: [a.arg for a in each.args.kwonlyargs] for each in functions}


def build_model(name: str, options: Mapping[str, Any]) -> Any:
    """Check the arguments and build the model `name` with them."""
    row = catalog.row(name)  # raises for an unknown name before TensorFlow is loaded
    load_tensorflow()
    options = typed_arguments(name, options)
    try:
        return zoo.get_model(name, **options)
    except (TypeError, ValueError) as error:
        if row.origin == "zoo":
            raise  # our models raise ZooErrors for wrong values, so this is a bug
        raise InvalidValueError(str(error).partition("\n")[0]) from error
