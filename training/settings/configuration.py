"""Everything between the text of a command line and a configured Zookeeper task."""

from __future__ import annotations

import difflib
import inspect
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, get_args, get_origin

from zookeeper import ComponentField, Field, configure
from zookeeper.core import utils
from zookeeper.core.component import base_getattr
from zookeeper.core.factory_registry import FACTORY_REGISTRY
from zookeeper.core.partial_component import PartialComponent

from training.settings.discovery import fold
from training.settings.field_types import (
    UNIONS,
    Text,
    convert,
    describe,
    is_plain,
    literal,
    to_json,
    type_name,
)
from zoo.errors import InvalidValueError, UnknownNameError, ZooError
from zoo.field_docs import field_docs


@dataclass(frozen=True)
class FieldInfo:
    """A field of a task or of one of its components, under its full dotted key."""

    key: str
    type: Any
    doc: str
    default: str  # as shown to a reader
    required: bool  # nothing but a configured value can fill it
    choices: tuple[type, ...] = ()  # of a component field
    chosen: type | None = None  # the component class that conf or the default gives it
    make: Any = None  # makes it: the class, or the default with what it sets in the class
    implied: bool = False  # the chosen class is the only one there is

    @property
    def type_name(self) -> str:
        """The type as one would annotate it."""
        return type_name(self.type)

    @property
    def choice_names(self) -> list[str]:
        """The components this field accepts, by the names a user gives."""
        return sorted({component_name(cls) for cls in self.choices})


class UnknownKeyError(UnknownNameError):
    """A key that no field has; suggests full names for keys that exist further down."""

    def __init__(self, name: str, valid: Iterable[str]):
        self.kind, self.name, self.valid = "key", name, sorted(valid)
        near = " or ".join(f"'{key}'" for key in nearest_keys(name, self.valid))
        hint = f"; did you mean {near}?" if near else "."
        ZooError.__init__(
            self, f"There is no key '{name}'{hint} Valid keys: {', '.join(self.valid)}."
        )


# ---- from text ----


def parse_assignments(args: Sequence[str]) -> dict[str, Any]:
    """`key=value`, `--key` and `--no-key` as a dictionary of `Text`, True and False.

    What a text means is decided by the type of the field that it is for, never by how it looks:
    2024_11_27 is a number where a number is asked for, else a name.
    """
    conf: dict[str, Any] = {}
    value: Any
    for arg in args:
        if match := re.fullmatch(r"(?:--)?([A-Za-z_][\w.]*)=(.*)", arg, re.DOTALL):
            key, value = match[1], Text(match[2])
        elif match := re.fullmatch(r"--(no-)?([A-Za-z_][\w.]*)", arg):
            key, value = match[2], match[1] is None
        else:
            raise InvalidValueError(f"'{arg}' is not a setting: write key=value.")
        if key in conf:
            twice = " and ".join(_as_written(each) for each in (conf[key], value))
            raise InvalidValueError(f"'{key}' is given twice: {twice}.")
        conf[key] = value
    return conf


def parse_arguments(args: Sequence[str]) -> dict[str, Any]:
    """`parse_assignments` for arguments of a model, of which `weights` is read already.

    `typed` reads the others, when the model's signature is known.
    """
    conf = parse_assignments(args)
    return typed(conf, {"weights": str | None}) if "weights" in conf else conf


def typed(arguments: Mapping[str, Any], types: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments as their types say; a text without a type, or none of it, as Python spells it."""
    found = {}
    for key, value in arguments.items():
        if isinstance(value, Text) and key in types:
            try:
                value = convert(value, types[key])
            except TypeError:
                value = literal(value)
        found[key] = value
    return found


def _as_written(value: Any) -> str:
    return repr(literal(value) if isinstance(value, Text) else value)


# ---- fields ----


def fields(task_class: type, conf: Mapping[str, Any] | None = None) -> list[FieldInfo]:
    """Every field that `conf` may set, in the component classes that `conf` chooses."""
    preset = preset_of(task_class, conf or {})
    return [
        replace(info, default=str(preset[info.key])) if info.key in preset else info
        for info in _walk(task_class, "", {**preset, **(conf or {})}, {}, {})
    ]


def preset_of(task_class: type, conf: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that a recipe derives from others, such as the data set; `conf` beats them.

    Without those for fields that the components chosen in `conf` do not have, and without the
    weights of a component where `conf` chooses one itself.
    """
    if not hasattr(task_class, "preset"):
        return {}
    preset = dict(task_class.preset(conf))
    known = {info.key for info in _walk(task_class, "", {**preset, **conf}, {}, {})}
    known -= {f"{key}.weights" for key in conf}
    return {key: value for key, value in preset.items() if key in known}


def _walk(
    cls: Any, prefix: str, conf: Mapping[str, Any], given: Mapping[str, Any], scope: dict[str, str]
) -> Iterator[FieldInfo]:
    """The fields of `cls` and below.

    `given` holds the values of the PartialComponent that made `cls` a default, `scope` the keys
    of the fields above, from which a field of the same name takes its value.
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
        choices = tuple(
            each for each in components(field.type)
            # Some components fit the type, but one place only, which they name.
            if getattr(each, "only_as", name) == name
            # larq-zoo's go with its own tasks: its networks lack fields that our recipes set.
            and (each is default_class or _is_of_larq_zoo(cls) or not _is_of_larq_zoo(each))
        )  # fmt: skip
        if inherits:
            yield FieldInfo(key, field.type, doc, f"as {source}", False, choices)
            continue
        implied = required and key not in conf and len(choices) == 1
        if implied:
            default_class = choices[0]
        chosen = default_class if inspect.isclass(default_class) else None
        shown = component_name(chosen) if chosen else "required" if required else ""
        if key in conf:
            chosen = _chosen(key, conf[key], choices, chosen)
        # Naming the default class means the default, with what its PartialComponent sets.
        partial = _is_partial(default) and chosen is default_class
        make = default if partial else chosen
        required = required and not implied
        yield FieldInfo(key, field.type, doc, shown, required, choices, chosen, make, implied)
        if chosen:
            inner = default._lazy_kwargs if partial else {}
            yield from _walk(chosen, f"{key}.", conf, inner, inner_scope)


def components(annotation: Any) -> Iterator[type]:
    """The concrete components, and factories of such objects, that satisfy `annotation`."""
    if get_origin(annotation) in UNIONS:
        for arm in get_args(annotation):
            yield from components(arm)
    elif inspect.isclass(annotation) and annotation not in (object, type, type(None)):
        yield from dict.fromkeys(utils.generate_component_subclasses(annotation))
        for subclass in dict.fromkeys(utils.generate_subclasses(annotation)):
            yield from FACTORY_REGISTRY.get(subclass, ())


def component_name(cls: type) -> str:
    """The name a user gives a component: its class, a factory without that word."""
    name = cls.__name__
    return (name.removesuffix("Factory") or name) if utils.is_factory_class(cls) else name


def _chosen(key: str, value: Any, choices: Sequence[type], default: type | None) -> type | None:
    """The component class that `value` (a name, a class, an instance or None) stands for."""
    if value is None or (isinstance(value, Text) and value == "None"):
        return None
    if not isinstance(value, str):
        cls = value if inspect.isclass(value) else type(value)
        return cls if utils.is_component_class(cls) else None
    named = [cls for cls in choices if fold(value) in {fold(n) for n in _names(cls)}]
    if not named:
        noun = key.rpartition(".")[2].replace("_", " ").replace("dataset", "data set")
        for cls in choices:  # one of them may hold what was meant
            if setting := getattr(cls, "setting_for", lambda name: None)(value):
                meant = f"{key}={component_name(cls)} {key}.{setting}"
                raise InvalidValueError(f"There is no {noun} '{value}', but {meant}.")
        raise UnknownNameError(noun, value, {component_name(cls) for cls in choices})
    # larq-zoo has classes of the same names as ours, e.g. its data sets.
    return max(named, key=lambda cls: (cls is default, not _is_of_larq_zoo(cls)))


def _names(cls: type) -> set[str]:
    return {cls.__name__, cls.__qualname__, component_name(cls)}


def _is_of_larq_zoo(cls: type) -> bool:
    return cls.__module__.startswith("larq_zoo")


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


# ---- configuring ----


def configure_task(task_class: type, conf: Mapping[str, Any], name: str | None = None) -> Any:
    """A `task_class` configured with `conf`: its keys known, its values of the fields' types."""
    conf = {**preset_of(task_class, conf), **conf}
    infos = {info.key: info for info in fields(task_class, conf)}
    for key in conf:
        if key not in infos:
            raise UnknownKeyError(key, infos)
    values = {key: _value(infos[key], value) for key, value in conf.items()}
    # Zookeeper would choose the same class, with a warning.
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


def _value(info: FieldInfo, value: Any) -> Any:
    if info.chosen and (isinstance(value, str) or inspect.isclass(value)):
        return info.make()
    try:
        return convert(value, info.type)
    except TypeError:
        raise InvalidValueError(
            f"'{info.key}' must be {_expected(info)}, not {_as_written(value)}."
        ) from None


def nearest_keys(name: str, valid: Sequence[str]) -> list[str]:
    """The keys most like `name`; a name without dots is compared with last parts as well."""
    last = {key: key.rpartition(".")[2] for key in valid}
    # A key set where it is inherited, `model.dataset.size`, beats all but a slip in one letter.
    tails = {key: 0.9 if name.endswith(f".{key}") else 0.0 for key in valid}
    near = {key: max(tails[key], _likeness(name, key)) for key in valid}
    if "." not in name:
        near = {key: max(near[key], _likeness(name, last[key]) - 0.01) for key in valid}
    best = max(near.values(), default=0)
    return [key for key in valid if near[key] == best][:3] if best >= 0.6 else []


def _likeness(one: str, other: str) -> float:
    return difflib.SequenceMatcher(None, one.casefold(), other.casefold()).ratio()


# ---- to text ----


def resolved(task: Any) -> dict[str, Any]:
    """The configuration of `task` as JSON values under dotted keys, enough to make it again.

    Values inherited from above, model instances and callables are left out; no factory is built.
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
    """Whether the nearest component above with this field has the same value."""
    above = next(utils.generate_component_ancestors_with_field(component, name), None)
    try:
        other = base_getattr(above, name) if above is not None else utils.missing
    except (AttributeError, TypeError, ValueError, utils.ConfigurationError):
        return False
    return type(other) is type(value) and bool(other == value)
