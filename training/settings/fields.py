"""The settings of a task: its fields and the fields of its components."""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from training.settings.components import choices, component_name, named_component
from training.settings.field_types import is_plain, to_json, type_name
from zoo.adapters.zookeeper import ComponentField, Field, PartialComponent, utils
from zoo.field_docs import field_docs
from zoo.limits import limits_of


@dataclass(frozen=True)
class FieldInfo:
    """A field of a task or of one of its components, under its full dotted key."""

    key: str
    type: Any
    doc: str
    default: str  # as shown to users
    required: bool  # it has no default: users must give a value
    choices: tuple[type, ...] = ()  # the classes that a component field accepts
    chosen: type | None = None  # the component class that conf or the default selects
    make: Any = None  # makes the component: its class, or the PartialComponent of the default
    implied: bool = False  # the chosen class is the only choice

    @property
    def type_name(self) -> str:
        """Return the type as an annotation."""
        return type_name(self.type)

    @property
    def accepts(self) -> str:
        """Return the limits on the field's values as a sentence; "" if there are no limits."""
        found = ", ".join(dict.fromkeys(map(str, limits_of(self.type))))
        return f"{found[0].upper()}{found[1:]}." if found else ""

    @property
    def choice_names(self) -> list[str]:
        """Return the names, as users give them, of the components that this field accepts."""
        return sorted({component_name(cls) for cls in self.choices})


def fields(task_class: type, conf: Mapping[str, Any] | None = None) -> list[FieldInfo]:
    """Return every field that `conf` may set, in the component classes that `conf` chooses."""
    preset = preset_of(task_class, conf or {})
    return [
        replace(info, default=str(preset[info.key])) if info.key in preset else info
        for info in _all(task_class, {**preset, **(conf or {})})
    ]


def preset_of(task_class: type, conf: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that a recipe derives from others, such as the data set.

    `conf` overrides them. Leave out settings for fields that the components chosen in `conf` do
    not have. Leave out the weights of a component if `conf` chooses that component.
    """
    if not hasattr(task_class, "preset"):
        return {}
    preset = dict(task_class.preset(conf))
    known = {info.key for info in _all(task_class, {**preset, **conf})}
    known -= {f"{key}.weights" for key in conf}
    return {key: value for key, value in preset.items() if key in known}


def field_of(task_class: type, key: str, conf: Mapping[str, Any]) -> FieldInfo:
    """Return the field `key`, determined by `conf` and the class only, without `preset_of`."""
    return next(info for info in _all(task_class, conf) if info.key == key)


def _all(task_class: Any, conf: Mapping[str, Any]) -> Iterator[FieldInfo]:
    return _walk(task_class, "", conf, {}, {}, getattr(task_class, "components", {}))


def _walk(
    cls: Any,
    prefix: str,
    conf: Mapping[str, Any],
    given: Mapping[str, Any],
    scope: dict[str, str],
    declared: Mapping[str, Mapping[str, str]],
) -> Iterator[FieldInfo]:
    """Yield the fields of `cls` and of its components.

    `given`: values of the PartialComponent that made `cls` a default. `scope`: keys of the fields
    of outer components; a field inherits the value of an outer field with the same name.
    `declared`: the task's tables of components, by field.
    """
    docs = field_docs(cls)
    inner_scope = scope | {name: prefix + name for name in cls.__component_fields__}
    for name, field in cls.__component_fields__.items():
        if isinstance(field.type, str):
            raise TypeError(
                f"{cls.__name__}.{name} is annotated with text; Zookeeper needs the class itself, "
                "so remove `from __future__ import annotations` from its module."
            )
        key, doc = prefix + name, docs.get(name, "")
        default = given.get(name, field._default)
        source = scope.get(name)
        inherits = key not in conf and source and (default is utils.missing or source in conf)
        required = default is utils.missing and not field.allow_missing and not source
        if not isinstance(field, ComponentField):
            shown = f"as {source}" if inherits else _shown(default, field)
            yield FieldInfo(key, field.type, doc, shown, required)
            continue

        default_class = default._component_class if _is_partial(default) else default
        known = choices(field.type, declared.get(name))
        if inherits:
            yield FieldInfo(key, field.type, doc, f"as {source}", False, known)
            continue
        implied = required and key not in conf and len(known) == 1
        if implied:
            default_class = known[0]
        chosen = default_class if inspect.isclass(default_class) else None
        shown = component_name(chosen) if chosen else "required" if required else ""
        if key in conf:
            chosen = named_component(key, conf[key], known, chosen)
        # Naming the default class means the default, with the values of its PartialComponent.
        partial = _is_partial(default) and chosen is default_class
        make = default if partial else chosen
        required = required and not implied
        yield FieldInfo(key, field.type, doc, shown, required, known, chosen, make, implied)
        if chosen:
            inner = default._lazy_kwargs if partial else {}
            yield from _walk(chosen, f"{key}.", conf, inner, inner_scope, declared)


def _is_partial(default: Any) -> bool:
    return isinstance(default, PartialComponent)


def _shown(default: Any, field: Field) -> str:
    if default is utils.missing:
        return "" if field.allow_missing else "required"
    if inspect.isfunction(default):
        if inspect.signature(default).parameters or not is_plain(field.type):
            return "computed"
        default = default()
    try:
        to_json(default)
    except TypeError:
        return "computed"
    return os.fspath(default) if isinstance(default, os.PathLike) else repr(default)
