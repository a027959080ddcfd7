"""Convert a configured task to plain values, from which it can be made again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from training.settings.field_types import convert, is_plain, to_json
from zoo.adapters.zookeeper import ComponentField, base_getattr, utils


def resolved(task: Any) -> dict[str, Any]:
    """Return the configuration of `task` as JSON values by dotted keys, enough to make it again.

    Values inherited from outer components, model instances and callables are left out. No factory
    is called.
    """
    return dict(sorted(_resolve(task, "")))


def _resolve(component: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    for name, field in component.__component_fields__.items():
        nested = isinstance(field, ComponentField)
        if not nested and not is_plain(field.type):
            continue  # computing an optimizer or a list of callbacks may build the model
        try:
            value = base_getattr(component, name)
        except (AttributeError, TypeError, ValueError, utils.ConfigurationError):
            continue  # nothing to record: missing, or computed from something missing
        if utils.is_component_instance(value):
            if value.__component_parent__ is component:
                yield prefix + name, type(value).__name__
                yield from _resolve(value, f"{prefix}{name}.")
        elif not _is_inherited(component, name, value) and (not nested or value is None):
            try:
                yield prefix + name, to_json(convert(value, field.type))
            except TypeError:
                continue


def _is_inherited(component: Any, name: str, value: Any) -> bool:
    """Return whether the nearest outer component with this field has the same value."""
    above = next(utils.generate_component_ancestors_with_field(component, name), None)
    try:
        other = base_getattr(above, name) if above is not None else utils.missing
    except (AttributeError, TypeError, ValueError, utils.ConfigurationError):
        return False
    return type(other) is type(value) and bool(other == value)
