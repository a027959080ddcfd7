"""Networks that a recipe builds: this zoo's with other arguments, and larq-zoo's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import tensorflow as tf

from training.settings.components import component_name
from zoo.errors import InvalidValueError
from zoo.models import ZooFactory, variant
from zoo.pretrained.records import names_a_file
from zoo.weights.load import classes_of


def network(
    factory: Any, field: str, recipe: str, overrides: Mapping[str, Any]
) -> Callable[..., tf.keras.Model]:
    """Return a function that rebuilds a configured factory's model, with logits as output.

    Args:
        factory: the component.
        field: the recipe's field that holds it, for errors.
        recipe: the recipe's name, for errors.
        overrides: arguments of the model.

    Raises:
        InvalidValueError: the model has no such argument.
    """
    for name in overrides:
        if name not in factory.__component_fields__:
            raise InvalidValueError(
                f"{recipe} cannot train {component_name(type(factory))}, which has no '{name}': "
                f"choose another {field}=..."
            )
    return partial(variant, factory, **{"classifier_activation": None, **overrides})


def file_of(factory: Any, find: Callable[..., Path | None]) -> Path | None:
    """Return the file of the weights that a factory loads; None if it loads no file.

    Args:
        factory: the component.
        find: returns the file for the name of the weights and the name of the model, or None.
    """
    if factory.weights is None:
        return None
    if hasattr(factory, "catalog_name"):
        return find(factory.weights, factory.catalog_name)
    # Only Keras knows where it stores its applications' "imagenet" weights.
    return find(factory.weights, "") if names_a_file(factory.weights) else None


def check_classes(teacher: Any, path: Path, classes: int) -> None:
    """Raise InvalidValueError if the teacher's weights have another number of classes."""
    if not isinstance(teacher, ZooFactory):
        return  # Keras's applications refuse other classes themselves
    name = teacher.catalog_name
    known = classes_of(path, name, teacher.classifier_name)
    if known not in (None, classes):
        raise InvalidValueError(
            f"The teacher {name} with weights '{teacher.weights}' has {known} classes, the data "
            f"set {classes}: train a teacher (teacher.weights=None "
            "teacher_epochs=30), or use a recipe without a teacher, such as lqz train FineTune."
        )
