"""Configure a Zookeeper task or a part of it; check keys and values, and suggest similar keys."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from training.settings.assignments import (
    as_written,
    parse_arguments,
    parse_assignments,
    spelled_out,
    typed,
)
from training.settings.components import component_name
from training.settings.field_types import convert, describe, names_of, type_name
from training.settings.fields import FieldInfo, field_of, fields, preset_of
from training.settings.resolution import resolved
from zoo.adapters.zookeeper import configure, utils
from zoo.errors import InvalidValueError, UnknownNameError, ZooError

__all__ = [
    "FieldInfo",
    "UnknownKeyError",
    "checked_value",
    "component_name",
    "configure_task",
    "configured_part",
    "convert",
    "describe",
    "fields",
    "nearest_keys",
    "parse_arguments",
    "parse_assignments",
    "resolved",
    "type_name",
    "typed",
]


class UnknownKeyError(UnknownNameError):
    """A key that no field has; it suggests the full names of similar keys of inner components."""

    def __init__(self, name: str, valid: Iterable[str]):
        self.kind, self.name, self.valid = "key", name, sorted(valid)
        near = " or ".join(f"'{key}'" for key in nearest_keys(name, self.valid))
        hint = f"; did you mean {near}?" if near else "."
        ZooError.__init__(
            self, f"There is no key '{name}'{hint} Valid keys: {', '.join(self.valid)}."
        )


def configure_task(task_class: type, conf: Mapping[str, Any], name: str | None = None) -> Any:
    """Return a `task_class` configured with `conf`; check its keys, convert its values."""
    conf = spelled_out(conf)
    conf = {**preset_of(task_class, conf), **conf}
    infos = {info.key: info for info in fields(task_class, conf)}
    for key in conf:
        if key not in infos:
            raise UnknownKeyError(key, infos)
    values = {key: checked_value(infos[key], value) for key, value in conf.items()}
    # Zookeeper would choose the same class, but with a warning.
    values |= {key: info.make() for key, info in infos.items() if info.implied}
    task = task_class()
    try:
        configure(task, values, name=name or task_class.__name__)
    except (utils.ConfigurationError, TypeError, ValueError) as error:
        missing = [key for key, info in infos.items() if info.required and key not in conf]
        if missing:
            expected = _expected(infos[missing[0]])
            raise InvalidValueError(f"'{missing[0]}' has no value; give {expected}.") from error
        raise InvalidValueError(str(error).partition("\n")[0]) from error
    return task


def _expected(info: FieldInfo) -> str:
    return f"one of {', '.join(info.choice_names)}" if info.choices else describe(info.type)


def checked_value(info: FieldInfo, value: Any) -> Any:
    """Convert `value` to a field's type; InvalidValueError or UnknownNameError if impossible."""
    if info.chosen and (isinstance(value, str) or inspect.isclass(value)):
        return info.make()
    try:
        return convert(value, info.type)
    except TypeError:
        if isinstance(value, str) and (names := names_of(info.type)):
            raise UnknownNameError(info.key, value, names) from None
        raise InvalidValueError(
            f"'{info.key}' must be {_expected(info)}, not {as_written(value)}."
        ) from None


def configured_part(task_class: Any, name: str, conf: Mapping[str, Any]) -> Any:
    """Return the component that a task of `task_class` would have in the field `name`.

    It uses only the keys of that field in `conf`, and the default in the task's class.
    """
    own = {key: value for key, value in conf.items() if key.partition(".")[0] == name}
    part = field_of(task_class, name, own).make()
    inner = {key.partition(".")[2]: value for key, value in own.items() if "." in key}
    infos = {each.key: each for each in fields(type(part), inner)}
    for key in inner:
        if key not in infos:
            raise UnknownKeyError(f"{name}.{key}", [f"{name}.{each}" for each in infos])
    values = {key: checked_value(infos[key], value) for key, value in inner.items()}
    configure(part, values, name=name)
    return part


def nearest_keys(name: str, valid: Sequence[str]) -> list[str]:
    """Return the keys most similar to `name`; a name without dots may match a key's last part."""
    last = {key: key.rpartition(".")[2] for key in valid}
    # An inherited key, `model.dataset.size`, is the best match unless one letter is wrong.
    tails = {key: 0.9 if name.endswith(f".{key}") else 0.0 for key in valid}
    near = {key: max(tails[key], _likeness(name, key)) for key in valid}
    if "." not in name:
        near = {key: max(near[key], _likeness(name, last[key]) - 0.01) for key in valid}
    best = max(near.values(), default=0)
    return [key for key in valid if near[key] == best][:3] if best >= 0.6 else []


def _likeness(one: str, other: str) -> float:
    return difflib.SequenceMatcher(None, one.casefold(), other.casefold()).ratio()
