"""The pages of the reference that the code itself tells: models, recipes, commands."""

from __future__ import annotations

import functools
import inspect
from collections import Counter
from collections.abc import Iterable, Iterator

import commands

import zoo
from training.settings.configuration import FieldInfo, fields
from training.settings.discovery import recipe_tasks
from zoo import catalog
from zoo.field_docs import field_docs
from zoo.models import FINISHING, ZooFactory


def _shared() -> dict[str, str]:
    """What is said of the arguments that all models take."""
    fields = field_docs(ZooFactory)
    names = inspect.signature(zoo.RealResNet34).parameters
    return {name: FINISHING[name][2] if name in FINISHING else fields[name] for name in names}


def models() -> str:
    """A section for every model of this zoo: what it is, its signature, arguments of its own."""
    return "\n".join(line for row in catalog.rows(origin="zoo") for line in _model(row.model))


def _model(name: str) -> Iterator[str]:
    function = getattr(zoo, name)
    text, _, arguments = inspect.getdoc(function).partition("\n\nArgs:\n")
    arguments = arguments.partition("\n\n")[0]
    parameters = inspect.signature(function).parameters.values()
    signature = ",\n    ".join(f"{each.name}={each.default!r}" for each in parameters)
    yield f"## {name}\n\n{text}\n\n```text\n{name}(\n    {signature}\n)\n```\n"
    shared = _shared()
    for line in arguments.splitlines():
        argument, _, says = line.strip().partition(": ")
        if argument not in shared:
            yield f"- `{argument}`: {says}"
    yield ""


def shared_arguments() -> str:
    """The arguments that all models take."""
    return "\n".join(f"- `{name}`: {says}" for name, says in _shared().items())


@functools.cache
def _settings() -> dict[str, list[FieldInfo]]:
    """By recipe, its own settings, not its parts'."""
    found = {}
    for task in recipe_tasks():
        infos = fields(task.load())
        found[task.name] = [info for info in infos if "." not in info.key]
    return found


@functools.cache
def _usual() -> dict[str, FieldInfo]:
    """The settings that all recipes have, each with the default that most have."""
    of_all = [{info.key: info for info in infos} for infos in _settings().values()]
    shared = [key for key in of_all[0] if all(key in each for each in of_all)]
    defaults = {key: Counter(each[key].default for each in of_all) for key in shared}
    most = {key: counts.most_common(1)[0][0] for key, counts in defaults.items()}
    return {key: next(e[key] for e in of_all if e[key].default == most[key]) for key in shared}


def shared_settings() -> str:
    """The settings that all recipes have."""
    return _table(_usual().values())


def recipes() -> str:
    """A section for every recipe: what it does, and the settings that are its own or differ."""
    usual = {info.key: info.default for info in _usual().values()}
    parts = []
    for task in recipe_tasks():
        own = [i for i in _settings()[task.name] if usual.get(i.key) != i.default]
        parts.append(f"## {task.name}\n\n{inspect.getdoc(task.load())}\n\n{_table(own)}\n")
    return "\n".join(parts)


def _table(infos: Iterable[FieldInfo]) -> str:
    def code(text: str) -> str:
        return f"`{text}`" if text else ""

    rows = [
        f"| {code(each.key)} | {code(each.type_name)} | {code(str(each.default))} | {each.doc} |"
        for each in infos
    ]
    return "\n".join(["| setting | type | default | |", "| --- | --- | --- | --- |", *rows])


PLACES = {
    "MODEL_ARGUMENTS": shared_arguments,
    "MODEL_SECTIONS": models,
    "RECIPE_SETTINGS": shared_settings,
    "RECIPE_SECTIONS": recipes,
    "COMMAND_SECTIONS": commands.sections,
}


def filled(markdown: str) -> str:
    """The page with its places filled in."""
    for place, make in PLACES.items():
        if place in markdown:
            markdown = markdown.replace(place, make())
    return markdown
