"""The public functions of the factories, and models rebuilt with other arguments."""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tensorflow as tf

from zoo.adapters.zookeeper import ComponentField, Field, configure
from zoo.errors import InvalidValueError, UnknownNameError
from zoo.field_docs import field_docs
from zoo.keras2 import watch_compile
from zoo.limits import without_limits

# Arguments of all model functions that are not fields of the factory: type, default, help text.
# `tf.keras.applications` has the same arguments.
FINISHING: dict[str, tuple[Any, Any, str]] = {
    "pooling": (
        Literal["avg", "max"] | None,
        None,
        "With include_top=False: 'avg' or 'max' adds the mean or maximum over each "
        "channel, (batch, channels).",
    ),
    "classes": (int | None, None, "Another name for num_classes, as in tf.keras.applications."),
    "name": (str | None, None, "Keras's name of the model; by default the network's, lower case."),
}
RETURNS = """Returns:
    A functional tf.keras.Model: images (batch, height, width, channels), preprocessed as the
    weight set says, to (batch, num_classes).

Raises:
    ZooError: for a wrong argument, or weights that cannot be found."""


def construct(factory_class: type, **arguments: Any) -> tf.keras.Model:
    """Build a factory's model from keyword arguments; missing arguments keep their defaults."""
    arguments, finishing = split(arguments)
    arguments.setdefault("num_classes", factory_class.default_num_classes)  # type: ignore[attr-defined]
    if arguments.get("weights") is not None:
        # A Path of one word gets "./" in front, because a single word is the name of a set.
        weights = arguments["weights"]
        bare = isinstance(weights, Path) and len(weights.parts) == 1
        arguments["weights"] = os.path.join(".", weights) if bare else str(weights)
    factory = factory_class()
    try:
        configure(factory, arguments)
        model = factory.build()
    except TypeError as error:
        if "is annotated with type" in str(error):
            raise InvalidValueError(_of_another_type(error, arguments)) from None
        raise
    return finished(model, factory.include_top, **finishing)


def split(arguments: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the factory's arguments, as Python numbers and tuples, and those of `finished`.

    Raises:
        InvalidValueError: `classes` and `num_classes` differ, or `pooling` or `name` is wrong.
    """
    arguments = {key: plain(value) for key, value in arguments.items()}
    finishing = {key: arguments.pop(key, None) for key in FINISHING}
    classes = finishing.pop("classes")
    if classes is not None and arguments.setdefault("num_classes", classes) != classes:
        raise InvalidValueError(
            f"classes={classes} and num_classes={arguments['num_classes']} are the same "
            "argument: give only one."
        )
    if finishing["pooling"] not in (None, "avg", "max"):
        raise InvalidValueError(
            f"pooling must be 'avg', 'max' or None, not {finishing['pooling']!r}."
        )
    name = finishing["name"]
    if not (name is None or (isinstance(name, str) and name)):
        raise InvalidValueError(f"name must be a string, not {name!r}.")
    return arguments, finishing


def plain(value: Any) -> Any:
    """Convert NumPy numbers to Python numbers, and shapes, lists and arrays to tuples of them.

    Other values are returned unchanged.
    """
    if isinstance(value, np.generic) or (isinstance(value, np.ndarray) and value.ndim == 0):
        return value.item()
    if isinstance(value, tf.TensorShape):
        return tuple(value.as_list()) if value.rank is not None else value
    if isinstance(value, list | tuple) or (isinstance(value, np.ndarray) and value.ndim == 1):
        return tuple(plain(each) for each in value)
    return value


def finished(
    model: tf.keras.Model, include_top: bool, *, pooling: str | None = None, name: str | None = None
) -> tf.keras.Model:
    """Return the model with the requested pooling and name; it shares the layers of `model`."""
    x = model.output
    if pooling and not include_top:
        kind = {
            "avg": tf.keras.layers.GlobalAveragePooling2D,
            "max": tf.keras.layers.GlobalMaxPooling2D,
        }[pooling]
        x = kind(name=f"{pooling}_pool")(x)
    if x is not model.output or name not in (None, model.name):
        network = model.name  # the keys of the weights depend on this name
        model = tf.keras.Model(model.input, x, name=name or network)
        model.network_name = network
    return watch_compile(model)


def copy_weights(
    sources: Iterable[tf.keras.layers.Layer], targets: Iterable[tf.keras.layers.Layer]
) -> None:
    """Give each target the weights of its source."""
    for source, target in zip(sources, targets, strict=True):
        target.set_weights(source.get_weights())


def _of_another_type(error: TypeError, arguments: dict[str, Any]) -> str:
    """Write Zookeeper's error about the type of a value for the caller of the function."""
    _, name, text = str(error).split("'", 2)
    text = re.sub(r"typing\.Annotated\[(\w+),", r"'\1'", text)
    kinds = {
        "'int'": "a whole number",
        "'float'": "a number",
        "'bool'": "True or False",
        "Tuple": "three numbers, (height, width, channels)",
    }
    wanted = next((kind for mark, kind in kinds.items() if mark in text), "a string")
    return f"{name} must be {wanted}, not {arguments.get(name)!r}."


def variant(factory: Any, **overrides: Any) -> tf.keras.Model:
    """Rebuild a configured factory's model with some arguments changed."""
    arguments = {
        name: getattr(factory, name)
        for name, field in factory.__component_fields__.items()
        if not isinstance(field, ComponentField)
    }
    return construct(type(factory), **{**arguments, **overrides})


def model_function(factory_class: type) -> Callable[..., tf.keras.Model]:
    """Make the public, keyword-only function of a factory; its fields give signature and help."""
    name = factory_class.__name__.removesuffix("Factory")
    fields: dict[str, Field] = factory_class.__component_fields__  # type: ignore[attr-defined]
    defaults = {
        "input_shape": None,
        "input_tensor": None,
        "weights": factory_class.default_weights,  # type: ignore[attr-defined]
        "include_top": True,
        "num_classes": factory_class.default_num_classes,  # type: ignore[attr-defined]
        "classifier_activation": "softmax",
    }
    for field_name, field in fields.items():
        if not isinstance(field, ComponentField) and field_name not in defaults:
            defaults[field_name] = field.get_default(factory_class())
    types = {key: without_limits(fields[key].type) for key in defaults}
    types |= {key: kind for key, (kind, _, _) in FINISHING.items()}
    docs = field_docs(factory_class)
    docs |= {key: says for key, (_, _, says) in FINISHING.items()}
    all_defaults = defaults | {key: default for key, (_, default, _) in FINISHING.items()}

    def function(**arguments: Any) -> tf.keras.Model:
        unknown = sorted(set(arguments) - set(all_defaults))
        if unknown:
            raise UnknownNameError(f"argument of {name}", unknown[0], all_defaults)
        if arguments.get("classes") is not None:
            arguments.setdefault("num_classes", arguments["classes"])
        return construct(factory_class, **{**defaults, **arguments})

    parameters = [
        inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY, default=value, annotation=types[key])
        for key, value in all_defaults.items()
    ]
    arguments_doc = "\n".join(f"    {key}: {docs.get(key, '')}".rstrip() for key in all_defaults)
    function.__name__ = function.__qualname__ = name
    function.__module__ = factory_class.__module__
    function.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        parameters, return_annotation=tf.keras.Model
    )
    function.__doc__ = f"{inspect.getdoc(factory_class)}\n\nArgs:\n{arguments_doc}\n\n{RETURNS}"
    return function
