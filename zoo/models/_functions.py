"""From a factory to models: its public function, and models built anew with other arguments."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tensorflow as tf
from zookeeper import ComponentField, Field, configure

from zoo.errors import InvalidValueError, UnknownNameError

FIELD_DOCS = {
    "input_shape": "(height, width, channels) of the image; by default the paper's.",
    "input_tensor": "a Keras tensor to use as the image.",
    "weights": "None for random ones, the name of a registered set, or the path of a file.",
    "include_top": "False ends with the last feature map, before pooling and classifier.",
    "num_classes": "number of classes; where the weights are for others, the classifier is new.",
    "classifier_activation": "activation of the classifier; None gives logits.",
    "binary_weights": "False gives the first training stage: binary activations, real weights.",
}


def construct(factory_class: type, **arguments: Any) -> tf.keras.Model:
    """Build a factory's model from keyword arguments (what is not given keeps its default)."""
    arguments.setdefault("num_classes", factory_class.default_num_classes)  # type: ignore[attr-defined]
    if isinstance(arguments.get("input_shape"), list):
        arguments["input_shape"] = tuple(arguments["input_shape"])
    if arguments.get("weights") is not None:
        # A path stays one as a text: a bare word would be the name of a set.
        weights = arguments["weights"]
        bare = isinstance(weights, Path) and len(weights.parts) == 1
        arguments["weights"] = os.path.join(".", weights) if bare else str(weights)
    factory = factory_class()
    try:
        configure(factory, arguments)
        return factory.build()
    except TypeError as error:
        if "is annotated with type" in str(error):
            raise InvalidValueError(_of_another_type(error, arguments)) from None
        raise


def _of_another_type(error: TypeError, arguments: dict[str, Any]) -> str:
    """Zookeeper's complaint about a value's type, in the words of the function's caller."""
    _, name, text = str(error).split("'", 2)
    kinds = {"'int'": "a whole number", "'float'": "a number", "'bool'": "True or False",
             "Tuple": "three numbers, (height, width, channels)"}  # fmt: skip
    wanted = next((kind for mark, kind in kinds.items() if mark in text), "a text")
    return f"{name} must be {wanted}, not {arguments.get(name)!r}."


def variant(factory: Any, **overrides: Any) -> tf.keras.Model:
    """Build a configured factory's model anew with some arguments changed."""
    arguments = {
        name: getattr(factory, name)
        for name, field in factory.__component_fields__.items()
        if not isinstance(field, ComponentField)
    }
    return construct(type(factory), **{**arguments, **overrides})


def model_function(factory_class: type) -> Callable[..., tf.keras.Model]:
    """The public, keyword-only function of a factory: signature and help come from its fields."""
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

    def function(**arguments: Any) -> tf.keras.Model:
        unknown = sorted(set(arguments) - set(defaults))
        if unknown:
            raise UnknownNameError(f"argument of {name}", unknown[0], defaults)
        return construct(factory_class, **{**defaults, **arguments})

    parameters = [
        inspect.Parameter(
            key, inspect.Parameter.KEYWORD_ONLY, default=value, annotation=fields[key].type
        )
        for key, value in defaults.items()
    ]
    docs = {**FIELD_DOCS, **getattr(factory_class, "field_docs", {})}
    arguments_doc = "\n".join(f"    {key}: {docs[key]}" for key in defaults)
    function.__name__ = function.__qualname__ = name
    function.__module__ = factory_class.__module__
    function.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        parameters, return_annotation=tf.keras.Model
    )
    function.__doc__ = (
        f"{inspect.getdoc(factory_class)}\n\nArgs:\n{arguments_doc}\n\nReturns:\n"
        "    A functional tf.keras.Model: images (batch, height, width, channels), preprocessed as "
        "the weight\n    set says, to (batch, num_classes).\n\nRaises:\n    ZooError: for a wrong "
        "argument, or weights that are not to be had."
    )
    return function
