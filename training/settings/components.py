"""Find components by the names that users give."""

from __future__ import annotations

import functools
import importlib
import inspect
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, get_args, get_origin

from training.settings.discovery import fold
from training.settings.field_types import UNIONS, Text
from zoo.adapters.zookeeper import FACTORY_REGISTRY, utils
from zoo.errors import InvalidValueError, UnknownNameError

OURS = ("larq_zoo", "training", "zoo")  # packages that declare their components in tables


def choices(annotation: Any, declared: Mapping[str, str] | None) -> tuple[type, ...]:
    """Return the components that a field accepts.

    Args:
        annotation: the field's type.
        declared: "module:class" by name; these modules are imported here. None for a task that
            declares no components, such as larq-zoo's.

    Returns:
        The declared components, then components defined outside of `OURS`, such as the data set of
        a user's script. If `declared` is None: all defined components.
    """
    defined = dict.fromkeys(components(annotation))
    if declared is None:
        return tuple(defined)
    own = [_imported(place) for place in declared.values()]
    return (*own, *(cls for cls in defined if cls.__module__.partition(".")[0] not in OURS))


@functools.cache
def _imported(place: str) -> type:
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(module), name)


def components(annotation: Any) -> Iterator[type]:
    """Yield the defined components, and factories of such objects, that satisfy `annotation`."""
    if get_origin(annotation) in UNIONS:
        for arm in get_args(annotation):
            yield from components(arm)
    elif inspect.isclass(annotation) and annotation not in (object, type, type(None)):
        yield from dict.fromkeys(utils.generate_component_subclasses(annotation))
        for subclass in dict.fromkeys(utils.generate_subclasses(annotation)):
            yield from FACTORY_REGISTRY.get(subclass, ())


def component_name(cls: type) -> str:
    """Return the name that users give: the class name, without "Factory" for a factory."""
    name = cls.__name__
    return (name.removesuffix("Factory") or name) if utils.is_factory_class(cls) else name


def named_component(
    key: str, value: Any, choices: Sequence[type], default: type | None
) -> type | None:
    """Return the component class for `value` (a name, a class, an instance or None)."""
    if value is None or (isinstance(value, Text) and value == "None"):
        return None
    if not isinstance(value, str):
        cls = value if inspect.isclass(value) else type(value)
        return cls if utils.is_component_class(cls) else None
    named = [cls for cls in choices if fold(value) in {fold(n) for n in _names(cls)}]
    if not named:
        noun = key.rpartition(".")[2].replace("_", " ").replace("dataset", "data set")
        for cls in choices:  # a component may offer `value` by a setting
            if setting := getattr(cls, "setting_for", lambda name: None)(value):
                meant = f"{key}={component_name(cls)} {key}.{setting}"
                raise InvalidValueError(f"There is no {noun} '{value}'; give {meant}.")
        raise UnknownNameError(noun, value, {component_name(cls) for cls in choices})
    # larq-zoo has classes with the same names as ours, such as its data sets; prefer ours.
    return max(named, key=lambda cls: (cls is default, not is_of_larq_zoo(cls)))


def _names(cls: type) -> set[str]:
    return {cls.__name__, cls.__qualname__, component_name(cls)}


def is_of_larq_zoo(cls: type) -> bool:
    return cls.__module__.startswith("larq_zoo")
