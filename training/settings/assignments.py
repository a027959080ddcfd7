"""Convert the words `key=value` of a command line to a configuration."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from training.settings.field_types import Text, convert, literal
from zoo.errors import InvalidValueError


def parse_assignments(args: Sequence[str]) -> dict[str, Any]:
    """Convert `key=value`, `--key` and `--no-key` to a dictionary of `Text`, True and False.

    The type of the field decides the meaning of a text, not its look: 2024_11_27 is a number in a
    field for numbers, and else a name.
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
            twice = " and ".join(as_written(each) for each in (conf[key], value))
            raise InvalidValueError(f"'{key}' is given twice: {twice}.")
        conf[key] = value
    return spelled_out(conf)


def spelled_out(conf: Mapping[str, Any]) -> dict[str, Any]:
    """Replace `dataset=tfds:NAME` by the two settings that it stands for."""
    found = dict(conf)
    for key, value in conf.items():
        if key.rpartition(".")[2] == "dataset" and isinstance(value, str):
            kind, colon, name = value.partition(":")
            if colon and kind.casefold() == "tfds":
                if not name:
                    raise InvalidValueError("Give a data set: dataset=tfds:NAME.")
                if f"{key}.name" in conf:
                    raise InvalidValueError(f"'{key}={value}' names the set: remove {key}.name.")
                found |= {key: Text(kind), f"{key}.name": Text(name)}
    return found


def parse_arguments(args: Sequence[str]) -> dict[str, Any]:
    """Call `parse_assignments` for arguments of a model, and convert `weights`.

    `typed` converts the others later, when the model's signature is known.
    """
    conf = parse_assignments(args)
    return typed(conf, {"weights": str | None}) if "weights" in conf else conf


def typed(arguments: Mapping[str, Any], types: Mapping[str, Any]) -> dict[str, Any]:
    """Convert arguments to their types; a text without a fitting type becomes a Python literal."""
    found = {}
    for key, value in arguments.items():
        if isinstance(value, Text) and key in types:
            try:
                value = convert(value, types[key])
            except TypeError:
                value = literal(value)
        found[key] = value
    return found


def as_written(value: Any) -> str:
    return repr(literal(value) if isinstance(value, Text) else value)
