"""`lqz`, the command line. TensorFlow is imported by the commands that need it, when they run."""

from __future__ import annotations

import errno
import importlib
import json
import logging
import os
import shutil
import sys
import traceback
from collections.abc import Sequence
from dataclasses import asdict
from difflib import get_close_matches
from typing import Any

import click

from training.discovery import TaskInfo, find_task, larq_zoo_tasks, recipe_tasks
from zoo.errors import InvalidValueError, UnknownNameError, ZooError

# Where each command is defined, and the line of `lqz --help`, which so imports none of them.
COMMANDS = {
    "list": ("training.cli:list_models", "Models, with published figures and weights."),
    "summary": ("training.cli:summary", "Layers, operations and memory of a model."),
    "train": ("training.cli:train", "Train by a paper's recipe, or list the recipes."),
}
USER_ERRNOS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM}
INTERRUPTED = 130  # 128 + SIGINT, as shells report it
DETAILS = (("paper", "paper"), ("data set", "dataset"), ("origin", "origin"))
# Heading, name in the catalog's row, unit, decimals.
FIGURES = (
    ("top-1 %", "top1", 1, 2),
    ("params M", "params", 1e6, 2),
    ("MiB", "memory_bytes", 2**20, 2),
    ("binary MACs M", "binary_macs", 1e6, 1),
    ("float MACs M", "float_macs", 1e6, 1),
    ("OPs M", "ops", 1e6, 1),
)
OPEN = {"ignore_unknown_options": True}  # --key and --no-key are settings, not options


class LazyGroup(click.Group):
    """A group that imports a command when it is called; larq-zoo's tasks are commands too."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in COMMANDS:
            module, _, function = COMMANDS[cmd_name][0].partition(":")
            return getattr(importlib.import_module(module), function)
        task = find_task(cmd_name, larq_zoo_tasks())
        return larq_zoo_command(task) if task else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if ctx.resilient_parsing or name.startswith("-") or self.get_command(ctx, name):
            return super().resolve_command(ctx, args)
        if task := find_task(name, recipe_tasks()):
            raise ZooError(f"'{task.name}' is a task: run 'lqz train {task.name}'.")
        theirs = [task.name for task in larq_zoo_tasks()]
        raise UnknownNameError("command", name, [*COMMANDS, *theirs])

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(
    cls=LazyGroup,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="The tasks of larq-zoo are commands as well, e.g. lqz TrainBinaryAlexNet --help.",
)
@click.pass_context
def lqz(ctx: click.Context) -> None:
    """Binary neural networks: compare, inspect and train them."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


def main(args: Sequence[str] | None = None) -> int:
    """Run `lqz` and return its exit code: 2 for what the user can put right, with a sentence."""
    # Both only work if set before TensorFlow is imported; larq needs Keras 2.
    os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        result = lqz.main(args, prog_name="lqz", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.Abort as error:
        if isinstance(error.__cause__, EOFError):
            raise error.__cause__ from None  # click takes it for Ctrl-D; here it is a bug
        click.echo("Interrupted.", err=True)
        return INTERRUPTED
    except ZooError as error:
        if debugging():
            traceback.print_exc()
        click.echo(f"Error: {error}", err=True)
        return 2
    except OSError as error:
        if error.errno not in USER_ERRNOS:
            raise
        where = f": {error.filename}" if error.filename else ""
        click.echo(f"Error: {error.strerror}{where}.", err=True)
        return 2
    return result if isinstance(result, int) else 0


@click.command("list")
@click.argument("pattern", required=False)
@click.option("--json", "as_json", is_flag=True, help="Every figure, as JSON.")
def list_models(pattern: str | None, as_json: bool) -> None:
    """Models whose names match PATTERN, e.g. "react*", with published figures and weights."""
    from zoo import catalog

    rows = catalog.rows(pattern)
    if pattern and not rows:
        raise UnknownNameError("model", pattern, [row.model for row in catalog.rows()])
    if as_json:
        found = [asdict(row) | {"paper": row.paper, "ops": row.ops} for row in rows]
        click.echo(json.dumps(found, indent=2))
        return
    # Where there is little room, the operations must do for both kinds of MACs.
    wide = has_room()
    figures = [figure for figure in FIGURES if wide or figure[1] != "float_macs"]
    columns = [
        ("model", [row.model for row in rows]),
        *((head, [getattr(row, key) for row in rows]) for head, key in DETAILS if wide),
        *(
            (head, [_number(getattr(row, key) or None, *form) for row in rows])
            for head, key, *form in figures
        ),
        ("weights", [", ".join(row.weights) for row in rows]),
    ]
    heads, cells = zip(*columns, strict=True)
    right = [column for column, head in enumerate(heads) if head in {f[0] for f in FIGURES}]
    print_table(heads, list(zip(*cells, strict=True)), right)


@click.command(context_settings=OPEN)
@click.argument("model")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.option("--json", "as_json", is_flag=True, help="Totals and layers, as JSON.")
def summary(model: str, arguments: Sequence[str], as_json: bool) -> None:
    """Layers, operations and memory of MODEL, built with ARGUMENTS.

    ARGUMENTS are those of its constructor, e.g. "input_shape=(32,32,3)" num_classes=10.
    """
    import zoo
    from training.configuration import parse_assignments

    options = {"weights": None} | parse_assignments(arguments)
    network = build_model(model, options)
    totals = zoo.profile(network)
    from larq.models import ModelProfile
    from larq.models import summary as larq_summary

    names = ("params", "memory_bytes", "binary_macs", "float_macs", "ops")
    figures = {name: getattr(totals, name) for name in names}
    if as_json:
        head, *layers, _total = ModelProfile(network).generate_table()
        rows = [dict(zip(map(_one_line, head), layer, strict=True)) for layer in layers]
        found = {"model": model, "arguments": options, **figures, "layers": rows}
        click.echo(json.dumps(found, indent=2, default=str))
        return
    larq_summary(network, print_fn=click.echo)
    click.echo(
        f"{model}: {figures['params']:,} parameters, {_number(totals.memory_bytes, 2**20, 2)} MiB, "
        f"{totals.binary_macs:,} binary and {totals.float_macs:,} float MACs, {totals.ops:,.0f} OPs"
    )


def build_model(name: str, options: dict[str, Any]) -> Any:
    """The model `name`, after a look at whether it takes these arguments."""
    import inspect

    import zoo

    row = zoo.catalog.row(name)  # raises for an unknown name, before the wait for TensorFlow
    load_tensorflow()
    valid = inspect.signature(getattr(importlib.import_module(row.module), name)).parameters
    for key in options:
        if key not in valid:
            raise UnknownNameError("argument", key, valid)
    try:
        return zoo.get_model(name, **options)
    except (TypeError, ValueError) as error:
        if row.origin == "zoo":
            raise  # ours refuse values with a ZooError, so this is a bug
        raise InvalidValueError(str(error).partition("\n")[0]) from error


TRAIN_OPTIONS = ("--help", "--dry-run")


@click.command(context_settings=OPEN, add_help_option=False)
@click.argument("task", required=False)
@click.argument("settings", nargs=-1, type=click.UNPROCESSED)
@click.option("--dry-run", is_flag=True, help="Show what would be done, and train nothing.")
@click.option("-h", "--help", "wants_help", is_flag=True, help="This text; of TASK, its settings.")
@click.pass_context
def train(
    ctx: click.Context, task: str | None, settings: Sequence[str], dry_run: bool, wants_help: bool
) -> None:
    """Train by the recipe TASK, with SETTINGS as key=value; without TASK, list the recipes."""
    tasks = recipe_tasks()
    for text in (task or "", *settings):
        if text.startswith("--") and get_close_matches(text, TRAIN_OPTIONS, cutoff=0.8):
            raise click.NoSuchOption(text, possibilities=TRAIN_OPTIONS, ctx=ctx)
    if task is None:
        if wants_help:
            click.echo(ctx.get_help() + "\n")
        print_table(["task", ""], [[info.name, info.summary] for info in tasks])
        click.echo("\n'lqz train TASK --help' shows what can be set.")
        return
    info = find_task(task, tasks)
    if info is None:
        raise UnknownNameError("task", task, [info.name for info in tasks])
    load_tensorflow()
    run_task(info.load(), settings, f"lqz train {info.name}", wants_help, dry_run)


def run_task(
    cls: Any, settings: Sequence[str], command: str, wants_help: bool, dry_run: bool = False
) -> None:
    """Configure a task with `settings` and run it, or show what can be set."""
    from training.configuration import configure_task, parse_assignments

    conf = parse_assignments(settings)
    if wants_help:
        print_task_help(cls, conf, command)
        return
    if dry_run and not hasattr(cls, "dry_run"):
        raise InvalidValueError(f"{cls.__name__} has no dry run.")
    task = configure_task(cls, conf)
    if dry_run:
        task.dry_run()
    else:
        task.run()


def print_task_help(cls: Any, conf: dict[str, Any], command: str) -> None:
    """The docstring of a task and a table of what can be set in it."""
    import inspect

    from training.configuration import fields

    # A class without a docstring would show that of its base, written for another purpose.
    doc = inspect.cleandoc(cls.__doc__) + "\n\n" if cls.__doc__ else ""
    click.echo(f"Usage: {command} [key=value ...]\n\n{doc}Settings:")
    rows = []
    for info in fields(cls, conf):
        choices = f"One of {', '.join(info.choice_names)}." if info.choices else ""
        doc = f"{info.doc.removesuffix('.')}. " if info.doc and choices else info.doc
        rows.append([info.key, info.type_name, info.default, doc + choices])
    print_table(["key", "type", "default", ""], rows)


def larq_zoo_command(info: TaskInfo) -> click.Command:
    """A task of larq-zoo as a command, as larq-zoo's own `lqz` has it."""

    @click.command(info.name, context_settings=OPEN, add_help_option=False)
    @click.argument("settings", nargs=-1, type=click.UNPROCESSED)
    @click.option("-i", "--interactive", is_flag=True)
    @click.option("-h", "--help", "wants_help", is_flag=True)
    def command(settings: Sequence[str], interactive: bool, wants_help: bool) -> None:
        load_tensorflow()
        for task in larq_zoo_tasks():  # all of them, for the components they define
            importlib.import_module(task.module)
        if not interactive:
            run_task(info.load(), settings, f"lqz {info.name}", wants_help)
            return
        from zookeeper import cli

        cli.main([info.name, "-i", *settings], standalone_mode=False)

    return command


def load_tensorflow() -> None:
    """Import TensorFlow without the noise it makes; ZOO_DEBUG=1 shows it."""
    # larq warns of binary kernels without `kernel_constraint`; our networks have none because
    # the papers do not clip latent weights.
    logging.getLogger("larq").setLevel(logging.ERROR)
    try:
        stderr = os.dup(2)
    except OSError:  # closed: nothing to keep quiet
        stderr = -1
    if stderr < 0 or debugging():
        return  # whoever needs it imports it
    # CUDA's plugins report at import and when devices are first listed that they are registered
    # twice or find no driver. They write to the file descriptor, whatever the log level.
    with open(os.devnull, "wb") as nothing:
        os.dup2(nothing.fileno(), 2)
        try:
            import tensorflow

            tensorflow.config.list_physical_devices()
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)


def debugging() -> bool:
    """Whether the user wants to see more than a sentence."""
    return os.environ.get("ZOO_DEBUG") == "1"


def on_terminal() -> bool:
    """Whether a person is looking at the output."""
    return sys.stdout.isatty()


def has_room() -> bool:
    """Whether wide tables fit: on a wide terminal, and wherever lines may be long."""
    return not on_terminal() or shutil.get_terminal_size().columns >= 130


def print_table(
    heads: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[int] = ()
) -> None:
    """A table fitted to the terminal; elsewhere plain lines with nothing folded or cut."""
    if on_terminal():
        from rich import box
        from rich.console import Console, JustifyMethod
        from rich.table import Table
        from rich.text import Text

        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=0)
        for column, head in enumerate(heads):
            # Text folds; figures and the names in front do not.
            widest = max((len(row[column]) for row in rows), default=0)
            whole = widest if column in right or column == 0 else None
            justify: JustifyMethod = "right" if column in right else "left"
            table.add_column(head, justify=justify, min_width=whole, overflow="fold")
        for row in rows:
            table.add_row(*map(Text, row))
        Console(highlight=False).print(table)
        return
    lines = [heads, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = [
            text.rjust(width) if column in right else text.ljust(width)
            for column, (text, width) in enumerate(zip(line, widths, strict=True))
        ]
        click.echo("  ".join(cells).rstrip())


def _number(value: float | None, unit: float, digits: int) -> str:
    return "" if value is None else f"{value / unit:,.{digits}f}"


def _one_line(text: str) -> str:
    return " ".join(text.split())


if __name__ == "__main__":
    sys.exit(main())
