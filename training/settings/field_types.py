"""Convert values between text, JSON and the types of fields."""

from __future__ import annotations

import ast
import collections.abc
import inspect
import os
import types
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from zoo.files import expanded
from zoo.limits import Limit, OneOf, limits_of, without_limits

UNIONS = (Union, types.UnionType)
SEQUENCES = (tuple, list, collections.abc.Sequence, collections.abc.Iterable)
WORDS = {int: "a whole number", float: "a number", bool: "True or False", str: "a string"}


class Text(str):
    """A value as written on a command line; the field's type decides what it means."""


def literal(text: str) -> Any:
    """Return the Python literal in `text`, else the text itself; for values without a type."""
    if text in ("true", "false"):
        return text == "true"
    try:
        return ast.literal_eval(text)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return str(text)


def convert(value: Any, annotation: Any) -> Any:
    """Convert `value` to the type `annotation`; raises TypeError if `value` does not fit."""
    from zoo.adapters.zookeeper import utils  # slow; not needed for texts

    if isinstance(value, Text):
        return _read(value, annotation)
    origin, args = get_origin(annotation), get_args(annotation)
    kind = origin or annotation
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if origin is Annotated:
        return _within(convert(value, args[0]), args[1:])
    if origin in UNIONS:
        return _convert_to_any(value, args)
    if kind is bool and str(value).casefold() in ("true", "false"):
        return str(value).casefold() == "true"
    if kind is int and number and isinstance(value, int):
        return value
    if kind is float and number:
        return float(value)
    if kind is str and number and isinstance(value, int):
        return str(value)  # a name such as 2024, from Python or JSON
    if _is_path(kind) and isinstance(value, str | os.PathLike):
        return expanded(value)
    if kind in SEQUENCES and isinstance(value, list | tuple):
        return _convert_sequence(value, kind, args)
    if kind not in (bool, int, float) and utils.type_check(value, annotation):
        return value
    raise TypeError


def _read(text: Text, annotation: Any) -> Any:
    """Return the value of `text` in a field of this type; TypeError if it does not fit."""
    origin, args = get_origin(annotation), get_args(annotation)
    kind = origin or annotation
    if origin is Annotated:
        return _within(_read(text, args[0]), args[1:])
    if origin in UNIONS:
        return _read_as_any(text, args)
    if kind is str:
        return _unquoted(text)
    if _is_path(kind):
        return expanded(_unquoted(text))
    if origin is Literal and _unquoted(text) in args:
        return _unquoted(text)
    if kind in SEQUENCES and (items := _items(text)) is not None:
        return _convert_sequence(items, kind, args)
    value = literal(text)
    if isinstance(value, str) and kind is not bool and annotation is not Any:
        raise TypeError
    return convert(value, annotation)


def _within(value: Any, limits: Sequence[Any]) -> Any:
    """Return `value`; TypeError if it is outside one of the limits."""
    if not all(each.holds(value) for each in limits if isinstance(each, Limit)):
        raise TypeError
    return value


def _read_as_any(text: Text, arms: Sequence[Any]) -> Any:
    if type(None) in arms and text == "None":
        return None

    def order(arm: Any) -> int:
        """Sort paths, then strings, behind all other types: they accept any text."""
        return 1 if _is_path(arm) else 2 if arm in (str, Any) else 0

    for arm in sorted((arm for arm in arms if arm is not type(None)), key=order):
        try:
            value = _read(text, arm)
        except TypeError:
            continue
        # For `int | str`, 007 and 1_000 are names: str() of a number never gives them.
        if order(arm) or isinstance(value, bool) or not isinstance(value, int | float):
            return value
        if str(value) == text or not any(map(order, arms)):
            return value
    raise TypeError


def _unquoted(text: str) -> str:
    """Return the text without the quotes of a Python string."""
    value = literal(text) if text[:1] in ("'", '"') else text
    return str(value if isinstance(value, str) else text)


def _items(text: str) -> list[Text] | None:
    """Return the items of a list or tuple, as they are written; None if it is neither."""
    text = text.strip()
    if (text[:1], text[-1:]) not in (("[", "]"), ("(", ")")):
        return None
    items, depth, quote = [""], 0, ""
    for sign in text[1:-1]:
        if quote:
            quote = "" if sign == quote else quote
        elif sign in "'\"":
            quote = sign
        elif sign in "([{":
            depth += 1
        elif sign in ")]}":
            depth -= 1
        elif sign == "," and not depth:
            items.append("")
            continue
        items[-1] += sign
    if depth or quote or (text[0] == "(" and len(items) == 1 and items[0].strip()):
        return None  # (3) is not a tuple, (3,) is one
    last = [] if not items[-1].strip() else items[-1:]
    return [Text(item.strip()) for item in [*items[:-1], *last]]


def _convert_to_any(value: Any, arms: Sequence[Any]) -> Any:
    # Text for `str | PathLike` becomes a path: code with this annotation uses it as a path.
    paths = [arm for arm in arms if _is_path(arm)] if isinstance(value, str) else []
    for arm in [*paths, *sorted(arms, key=lambda arm: type(value) is not arm)]:
        try:
            return convert(value, arm)
        except TypeError:
            continue
    raise TypeError


def _convert_sequence(value: Sequence[Any], kind: Any, args: tuple[Any, ...]) -> Any:
    if kind is tuple and args and args[-1] is not Ellipsis:
        if len(args) != len(value):
            raise TypeError
        return tuple(convert(item, arm) for item, arm in zip(value, args, strict=True))
    items = [convert(item, args[0]) for item in value] if args else list(value)
    return items if kind is list else tuple(items)


def _is_path(kind: Any) -> bool:
    kind = get_origin(kind) or kind
    return kind is os.PathLike or (inspect.isclass(kind) and issubclass(kind, PurePath))


def type_name(annotation: Any) -> str:
    """Return a type as people write it: `int | None`, `tuple[int, ...]`, `'a' | 'b'`."""
    origin, args = get_origin(annotation), get_args(annotation)
    if annotation in (None, type(None)):
        return "None"
    if annotation is Ellipsis:
        return "..."
    if origin is Annotated:
        return type_name(args[0])
    if origin in UNIONS:
        return " | ".join(map(type_name, args))
    if origin is Literal:
        return " | ".join(map(repr, args))
    name = getattr(origin or annotation, "__name__", str(annotation))
    listed = args and isinstance(args[0], list)  # Callable[[int], float]
    return f"{name}[{', '.join(map(type_name, args))}]" if args and not listed else name


def describe(annotation: Any) -> str:
    """Return a type in plain words, for `'epochs' must be ...`."""
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return ", ".join([describe(args[0]), *map(str, limits_of(annotation))])
    if origin in UNIONS:
        arms = list(dict.fromkeys(map(describe, args)))
        return (", or " if any("," in arm for arm in arms) else " or ").join(arms)
    if origin is Literal:
        return f"one of {', '.join(map(repr, args))}"
    if _is_path(annotation):
        return "a path"
    if (origin or annotation) in SEQUENCES and args:
        count = f"{len(args)} " if origin is tuple and args[-1] is not Ellipsis else ""
        kind = describe(without_limits(args[0])).removeprefix("a ")
        items = f"{kind}{'' if ' or ' in kind else 's'}"
        return ", ".join([f"a list of {count}{items}", *map(str, limits_of(args[0]))])
    return WORDS.get(annotation, type_name(annotation))


def names_of(annotation: Any) -> tuple[str, ...]:
    """Return the names that a type accepts, if it accepts only names; else an empty tuple."""
    found = limits_of(annotation)
    return found[0].names if found and isinstance(found[0], OneOf) else ()


def to_json(value: Any) -> Any:
    """Convert `value` to JSON types; TypeError if JSON cannot represent it."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, list | tuple):
        return [to_json(item) for item in value]
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {key: to_json(item) for key, item in value.items()}
    raise TypeError


def is_plain(annotation: Any) -> bool:
    """Return whether a value of this type can be a JSON value."""
    origin, args = get_origin(annotation), get_args(annotation)
    kind = origin or annotation
    if origin in UNIONS or kind in SEQUENCES:
        return not args or any(is_plain(arm) for arm in args if arm is not Ellipsis)
    if origin is Annotated:
        return is_plain(args[0])
    if annotation is Any or origin is Literal or _is_path(kind):
        return True
    plain = (bool, int, float, str, type(None), collections.abc.Mapping)
    return inspect.isclass(kind) and issubclass(kind, plain)
