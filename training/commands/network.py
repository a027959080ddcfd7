"""The network that a command names. Importing this imports no TensorFlow."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from training.terminal import load_tensorflow
from zoo import catalog
from zoo.errors import InvalidValueError, RunError, UnknownNameError


def build_model(name: str, options: dict[str, Any]) -> Any:
    """The model `name`, after a look at whether it takes these arguments."""
    import zoo

    row = zoo.catalog.row(name)  # raises for an unknown name, before the wait for TensorFlow
    load_tensorflow()
    options = typed_arguments(name, options)
    try:
        return zoo.get_model(name, **options)
    except (TypeError, ValueError) as error:
        if row.origin == "zoo":
            raise  # ours refuse values with a ZooError, so this is a bug
        raise InvalidValueError(str(error).partition("\n")[0]) from error


def typed_arguments(name: str, options: dict[str, Any]) -> dict[str, Any]:
    """Arguments of the model `name`, texts read as their types say; UnknownNameError for others."""
    import inspect

    import zoo
    from training.settings.configuration import typed

    function = zoo.catalog.row(name).function()
    valid = inspect.signature(function).parameters
    for key in options:
        if key not in valid:
            raise UnknownNameError("argument", key, valid)
    empty = inspect.Parameter.empty
    types = {k: Any if p.annotation is empty else p.annotation for k, p in valid.items()}
    return typed(options, types)


SAVED = (".keras", ".h5", ".hdf5")


def load(model: str, arguments: Sequence[str], **defaults: Any) -> Any:
    """The model of a name or a file; `defaults` are arguments it gets where it takes them."""
    import inspect

    import zoo
    from training.settings.configuration import parse_arguments

    options = parse_arguments(arguments)
    row = require_model(model)
    if row is None:
        if options:
            raise InvalidValueError(f"A saved model takes no arguments, such as '{arguments[0]}'.")
        load_tensorflow()
        return zoo.load_model(model, compile=False)
    if options.get("weights") is None:
        click.echo(f"{model} has random weights; give weights=PATH for others.", err=True)
    load_tensorflow()

    valid = inspect.signature(row.function()).parameters
    taken = {key: value for key, value in defaults.items() if key in valid}
    return build_model(model, {"weights": None, **taken, **options})


def require_model(model: str) -> catalog.Row | None:
    """The catalog's row of a model, None for the path of a saved one; raises if there is none."""
    if Path(model).suffix not in SAVED:
        return catalog.row(model)
    if not Path(model).is_file():
        raise InvalidValueError(f"There is no model file '{model}'.")
    return None


def find(model: str) -> catalog.Row | Path:
    """The row of the catalog, or the path, that `model` names. Raises ZooError for neither."""
    path = Path(model).expanduser()
    if model in (row.model for row in catalog.rows()):
        return catalog.row(model)
    if path.exists():
        return path
    if os.sep in model or path.suffix:
        raise RunError(
            f"There is no '{model}': give a run directory, a .keras file, or a model of `lqz list`."
        )
    return catalog.row(model)  # raises, offering the nearest name
