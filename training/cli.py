"""`lqz`, the command line. TensorFlow is imported by the commands that need it, when they run."""

from __future__ import annotations

import errno
import importlib
import os
import sys
import traceback
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import click

from training.discovery import TaskInfo, find_task, larq_zoo_tasks, recipe_tasks
from training.terminal import OPEN, debugging, load_tensorflow, print_table
from zoo.errors import InvalidValueError, UnknownNameError, WorkerLostError, ZooError

# Where each command is defined, and the line of `lqz --help`, which so imports none of them.
COMMANDS = {
    "list": ("training.show:list_models", "Models, with published figures and weights."),
    "predict": ("training.predict:predict", "What trained weights see in an image."),
    "convert": ("training.convert:convert", "Weights from PyTorch's files, and back."),
    "summary": ("training.show:summary", "Layers, operations and memory of a model."),
    "train": ("training.cli:train", "Train by a paper's recipe, or list the recipes."),
    "evaluate": ("training.evaluate:evaluate", "Accuracy of a trained network, against records."),
    "export": ("training.export:export", "Write a model for OpenVINO or Larq Compute Engine."),
    "benchmark": ("training.bench.command:benchmark", "Measure models in several runtimes."),
}
USER_ERRNOS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM}
PATH = click.Path(path_type=Path)
INTERRUPTED = 130  # 128 + SIGINT, as shells report it


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
    """Binary neural networks: compare, inspect, train and deploy them."""
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
        if isinstance(error, WorkerLostError):
            from training.distribution import rejoin

            rejoin(error.minutes)
        return 2
    except OSError as error:
        if error.errno not in USER_ERRNOS:
            raise
        where = f": {error.filename}" if error.filename else ""
        click.echo(f"Error: {error.strerror}{where}.", err=True)
        return 2
    return result if isinstance(result, int) else 0


TRAIN_OPTIONS = ("--help", "--dry-run", "--program", "--images", "--part-mib", "--from-program")


@click.command(context_settings=OPEN, add_help_option=False)
@click.argument("task", required=False)
@click.argument("settings", nargs=-1, type=click.UNPROCESSED)
@click.option("--dry-run", is_flag=True, help="Show what would be done, and train nothing.")
@click.option(
    "--program",
    type=PATH,
    metavar="DIR",
    help="Write the next unfinished stage to DIR, to run on JAX anywhere; train nothing.",
)
@click.option(
    "--images",
    type=PATH,
    metavar="DIR",
    help="Folder of the program's images, which several programs may share.",
)
@click.option(
    "--part-mib",
    type=click.IntRange(1),
    default=16,
    show_default=True,
    help="Most MiB in a file of the program's images.",
)
@click.option(
    "--from-program",
    type=PATH,
    metavar="DIR",
    help="Go on from what the program in DIR has trained.",
)
@click.option("-h", "--help", "wants_help", is_flag=True, help="This text; of TASK, its settings.")
@click.pass_context
def train(
    ctx: click.Context,
    task: str | None,
    settings: Sequence[str],
    dry_run: bool,
    wants_help: bool,
    program: Path | None,
    images: Path | None,
    part_mib: int,
    from_program: Path | None,
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
    if images and not program:
        raise InvalidValueError("--images goes with --program DIR.")
    load_tensorflow()
    options: dict[str, Any] = {}
    if program:
        from training.portable.program import ProgramRequest

        options["program"] = ProgramRequest(program, images, part_mib * 2**20)
    if from_program:
        options["state"] = from_program
    run_task(info.load(), settings, f"lqz train {info.name}", wants_help, dry_run, options)


def run_task(
    cls: Any,
    settings: Sequence[str],
    command: str,
    wants_help: bool,
    dry_run: bool = False,
    options: Mapping[str, Any] | None = None,
) -> None:
    """Configure a task with `settings` and run it with `options`, or show what can be set."""
    from training.configuration import configure_task, parse_assignments

    conf = parse_assignments(settings)
    if wants_help:
        print_task_help(cls, conf, command)
        return
    if dry_run and not hasattr(cls, "dry_run"):
        raise InvalidValueError(f"{cls.__name__} is larq-zoo's and has no dry run.")
    task = configure_task(cls, conf)
    if dry_run:
        task.dry_run()
    else:
        task.train(**options) if options else task.run()


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


if __name__ == "__main__":
    sys.exit(main())
