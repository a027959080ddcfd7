"""Networks that a recipe builds: of this zoo with other arguments, and larq-zoo's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import tensorflow as tf

from training.settings.components import component_name
from zoo.errors import InvalidValueError
from zoo.models import ZooFactory, variant
from zoo.weights.load import classes_of, find_weights


def network(
    factory: Any, field: str, recipe: str, overrides: Mapping[str, Any]
) -> Callable[..., tf.keras.Model]:
    """A function that builds the model of a configured factory anew, giving logits.

    Args:
        factory: the component.
        field: where the recipe has it, for errors.
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


def check_classes(teacher: Any, classes: int) -> None:
    """Raise InvalidValueError for a teacher whose weights know another number of classes."""
    if teacher.weights is None or not isinstance(teacher, ZooFactory):
        return  # Keras's applications refuse other classes themselves
    name = teacher.catalog_name
    known = classes_of(find_weights(teacher.weights, name), name, teacher.classifier_name)
    if known not in (None, classes):
        raise InvalidValueError(
            f"The teacher {name} with weights '{teacher.weights}' tells {known} classes apart, "
            f"the data set has {classes}: train a teacher (teacher.weights=None "
            "teacher_epochs=30), or take a recipe without one, such as lqz train FineTune."
        )
