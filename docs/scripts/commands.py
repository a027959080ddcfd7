"""The page of all commands, from what each says of itself to `--help`."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator

import click

from training.cli import lqz


def sections() -> str:
    """A section for every command: what it does, how it is called, its options."""
    parent = click.Context(lqz, info_name="lqz")
    parts = []
    for name in lqz.list_commands(parent):
        command = lqz.get_command(parent, name)
        assert command is not None
        parts += _section(click.Context(command, parent=parent, info_name=name))
    return "\n".join(parts)


def _section(ctx: click.Context) -> Iterator[str]:
    usage = ctx.command.get_usage(ctx).removeprefix("Usage: ")
    yield f"## {ctx.command_path}\n"
    yield f"{_text(ctx.command.help or '')}\n"
    yield "```text\n" + " ".join(usage.split()) + "\n```\n"
    parameters = [each for each in ctx.command.get_params(ctx) if isinstance(each, click.Option)]
    options = [record for each in parameters if (record := each.get_help_record(ctx))]
    if options:
        yield "| option | what it does |\n| --- | --- |"
        for names, what in options:
            yield f"| `{_cell(names)}` | {_cell(what)} |"
        yield ""


def _text(text: str) -> str:
    """A help text as Markdown; click's mark of lines that stay as they are becomes a code block."""
    paragraphs = inspect.cleandoc(text).split("\n\n")
    option = re.compile(r"`[^`]*`|(?<![\w-])--?[a-z][a-z-]*(?!\w)")
    return "\n\n".join(
        "```text\n" + each.removeprefix("\b\n") + "\n```"
        if each.startswith("\b\n")
        else option.sub(lambda found: f"`{found[0].strip('`')}`", each)
        for each in paragraphs
    )


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
