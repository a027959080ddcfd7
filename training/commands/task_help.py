"""`lqz train TASK --help`: the common settings of a task, or all, for any terminal width."""

from __future__ import annotations

import inspect
import os
import shutil
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from training.settings.fields import FieldInfo

# The settings that users change most often; --help-all shows the others.
COMMON = (
    "dataset",
    "dataset.data_dir",
    "model",
    "teacher",
    "teacher.weights",
    "epochs",
    "batch_size",
    "learning_rate",
    "initialize_from",
    "seed",
    "output_dir",
)
PARTS = {
    "dataset": "Data set",
    "preprocessing": "Images",
    "model": "Network",
    "teacher": "Teacher",
}
TRAINING, RUN = "Training", "Run directory and hardware"
INDENT = "      "
BESIDE = 110  # from this width, an explanation is printed beside its setting
NAME_WIDTH = 44  # width of the column of settings in that layout


def columns() -> int:
    """Return the terminal's width; without a terminal, enough for the wide layout.

    A pager reads a pipe, and shows it on the terminal from which the keys come.
    """
    try:
        fallback = os.get_terminal_size(0)
    except OSError:
        fallback = os.terminal_size((BESIDE, 24))
    return shutil.get_terminal_size(fallback).columns


def print_task_help(cls: Any, conf: Mapping[str, Any], command: str, everything: bool) -> None:
    """Print the docstring of a task and its settings.

    Args:
        cls: the task.
        conf: the settings that the user gave; they may choose components, which have settings too.
        command: the command that runs the task.
        everything: show all settings, not only the common ones.
    """
    from training.settings.fields import fields

    width = columns()
    # inspect.getdoc would return the base's docstring for a class without one.
    doc = inspect.cleandoc(cls.__doc__) if cls.__doc__ else ""
    click.echo(f"Usage: {command} [key=value ...]\n")
    for paragraph in doc.split("\n\n") if doc else []:
        click.echo(_wrapped(" ".join(paragraph.split()), width) + "\n")
    infos = {info.key: info for info in fields(cls, conf)}
    common = [infos[key] for key in COMMON if key in infos]
    if not everything and len(common) > 2:
        _print_group("Common settings", common, width)
        click.echo(f"{len(infos) - len(common)} more settings: {command} --help-all")
        return
    operational = getattr(cls, "operational", ())
    for title, members in _groups(infos.values(), operational).items():
        _print_group(title, members, width)


def _groups(infos: Iterable[FieldInfo], operational: Sequence[str]) -> dict[str, list[FieldInfo]]:
    """Group the settings by the headings that they are printed under, in order."""
    found: dict[str, list[FieldInfo]] = {title: [] for title in (TRAINING, *PARTS.values(), RUN)}
    for info in infos:
        part, _, inner = info.key.partition(".")
        if part in operational:
            found[RUN].append(info)
        else:
            title = PARTS.get(part, part) if inner or part in PARTS else TRAINING
            found.setdefault(title, []).append(info)
    return {title: members for title, members in found.items() if members}


def _print_group(title: str, infos: Iterable[FieldInfo], width: int) -> None:
    click.echo(f"{title}:")
    for info in infos:
        default = info.default.strip("'")  # as the user would type it
        setting = f"{info.key}={default}" if default else info.key
        doc = _explanation(info)
        if width < BESIDE:
            click.echo(_wrapped(f"{setting}  ({info.type_name})", width, "  ", INDENT))
            click.echo(_wrapped(doc, width, INDENT, INDENT)) if doc else None
            continue
        lines = textwrap.wrap(doc, width - NAME_WIDTH, break_long_words=False) or [""]
        if len(setting) > NAME_WIDTH - 4:
            click.echo(f"  {setting}")
        else:
            click.echo(f"  {setting:{NAME_WIDTH - 2}}{lines.pop(0)}".rstrip())
        for line in lines:
            click.echo(" " * NAME_WIDTH + line)
    click.echo()


def _explanation(info: FieldInfo) -> str:
    from zoo import catalog

    networks = {row.model for row in catalog.rows()}
    names = [name for name in info.choice_names if name not in networks]
    if len(names) < len(info.choice_names):
        names.append("a network of `lqz list`")
    choices = f"One of {', '.join(names)}." if len(names) > 1 else "".join(names).capitalize()
    choices = choices if info.choices else info.accepts
    doc = f"{info.doc.removesuffix('.')}." if info.doc and choices else info.doc
    return f"{doc} {choices.removesuffix('.')}.".strip() if choices else doc


def _wrapped(text: str, width: int, first: str = "", rest: str = "") -> str:
    return textwrap.fill(
        text,
        width,
        initial_indent=first,
        subsequent_indent=rest,
        break_long_words=False,
        break_on_hyphens=False,
    )
