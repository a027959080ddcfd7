"""Arguments of a model of the catalog: read, checked, and the model built with them.

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


def check_early(name: str, options: Mapping[str, Any]) -> None:
    """Raise UnknownNameError for an argument that the model `name` lacks, and WeightsError for a
    file of weights that does not exist: what can be seen without TensorFlow."""
    valid = _stub().get(name)
    for key in options:
        if valid and key not in valid:
            raise UnknownNameError("argument", key, valid)
    check_weights_file(options.get("weights"))


def check_weights_file(weights: Any) -> None:
    """Raise WeightsError for the path of a file that does not exist; sets and None pass."""
    if isinstance(weights, str | Path) and names_a_file(weights) and not expanded(weights).exists():
        raise WeightsError(f"There is no weights file '{weights}'.")


@cache
def _stub() -> Mapping[str, list[str]]:
    """The arguments of this zoo's models, by name, as type checkers read them."""
    stub = Path(zoo.__file__).with_suffix(".pyi")
    body = ast.parse(stub.read_text(encoding="utf-8")).body if stub.is_file() else []
    functions = [node for node in body if isinstance(node, ast.FunctionDef)]
    return {each.name: [a.arg for a in each.args.kwonlyargs] for each in functions}


def build_model(name: str, options: Mapping[str, Any]) -> Any:
    """The model `name`, after a look at whether it takes these arguments."""
    row = catalog.row(name)  # raises for an unknown name, before the wait for TensorFlow
    load_tensorflow()
    options = typed_arguments(name, options)
    try:
        return zoo.get_model(name, **options)
    except (TypeError, ValueError) as error:
        if row.origin == "zoo":
            raise  # ours refuse values with a ZooError, so this is a bug
        raise InvalidValueError(str(error).partition("\n")[0]) from error
