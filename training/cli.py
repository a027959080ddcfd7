"""`lqz`, the command line. TensorFlow is imported by the commands that need it, when they run."""

from __future__ import annotations

import contextlib
import errno
import importlib
import io
import os
import signal
import sys
import traceback
from collections.abc import Sequence

import click

import zoo
from training.commands.train import run_task
from training.settings.discovery import TaskInfo, find_task, larq_zoo_tasks, recipe_tasks
from training.terminal import (
    OPEN,
    load_tensorflow,
    plain,
    prepare_standard_streams,
    unheard,
)
from zoo.errors import UnknownNameError, WorkerLostError, ZooError
from zoo.quiet import debugging

# Where each command is defined, and its line in `lqz --help`: so the help imports no command.
COMMANDS = {
    "list": (
        "training.commands.list:list_models",
        "List models with published figures and weights.",
    ),
    "predict": ("training.commands.predict:predict", "Classify images with a trained network."),
    "convert": ("training.commands.convert:convert", "Convert weights from and to PyTorch files."),
    "summary": (
        "training.commands.summary:summary",
        "Show a model's layers, operations and memory.",
    ),
    "train": ("training.commands.train:train", "Train with a paper's recipe, or list recipes."),
    "prepare": (
        "training.commands.prepare:prepare",
        "Prepare ImageNet from image-net.org's files.",
    ),
    "evaluate": (
        "training.commands.evaluate.command:evaluate",
        "Measure the accuracy of a network.",
    ),
    "export": (
        "training.commands.export:export",
        "Export a model to another runtime.",
    ),
    "benchmark": (
        "training.commands.benchmark.command:benchmark",
        "Measure latency in several runtimes.",
    ),
}
INTERRUPTED = 130  # 128 + SIGINT, as shells report it
UNHEARD = 141  # 128 + SIGPIPE


class LazyGroup(click.Group):
    """A group that imports a command when it is called. larq-zoo's tasks are commands too."""

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
    epilog="larq-zoo's tasks are also commands, e.g. lqz TrainBinaryAlexNet --help.",
)
@click.version_option(zoo.__version__, prog_name="lqz")
@click.pass_context
def lqz(ctx: click.Context) -> None:
    """Binary neural networks: compare, inspect, train and deploy them."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


def main(args: Sequence[str] | None = None) -> int:
    """Run `lqz` and return its exit code: 2 for errors that the user can fix, with a message."""
    prepare_standard_streams()
    code = _run(args)
    try:
        sys.stdout.flush()
    except OSError as error:
        unheard(error)
        return UNHEARD if error.errno == errno.EPIPE else code or 2
    return code


def _run(args: Sequence[str] | None) -> int:
    # Both only work if set before TensorFlow is imported; larq needs Keras 2.
    os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        result = lqz.main(args, prog_name="lqz", standalone_mode=False)
    except click.ClickException as error:
        with contextlib.redirect_stderr(io.StringIO()) as shown:
            error.show()
        click.echo(plain(shown.getvalue()), err=True, nl=False)
        return error.exit_code
    except click.Abort as error:
        if isinstance(error.__cause__, EOFError):
            raise error.__cause__ from None  # click treats EOFError as Ctrl-D; here it is a bug
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # a second Ctrl-C ends the process at once
        click.echo("Interrupted.", err=True)
        return INTERRUPTED
    except ZooError as error:
        if debugging():
            traceback.print_exc()
        click.echo(f"Error: {plain(str(error))}", err=True)
        if isinstance(error, WorkerLostError):
            from training.loop.distribution.workers import rejoin

            rejoin(error.minutes)
        return 2
    except Exception as error:
        text = fault_of_the_machine(error)
        if text is None or debugging():
            raise
        click.echo(f"Error: {plain(text)}", err=True)
        return 2
    return result if isinstance(result, int) else 0


def fault_of_the_machine(error: BaseException) -> str | None:
    """Return a sentence for an error of files, disk or memory; None for any other error."""
    if isinstance(error, MemoryError) or type(error).__name__ == "ResourceExhaustedError":
        disk = "No space left" in str(error)
        what = "The disk is full" if disk else "There is not enough memory"
        return f"{what} ({next(iter(str(error).splitlines()), '') or 'no details'})."
    if isinstance(error, OSError) and error.strerror:
        name = os.fsdecode(error.filename) if error.filename else ""
        where = f": {name[:200]}{'...' if len(name) > 200 else ''}" if name else ""
        return f"{error.strerror}{where}."
    return None


def larq_zoo_command(info: TaskInfo) -> click.Command:
    """Return a task of larq-zoo as a command, as in larq-zoo's `lqz`."""

    @click.command(info.name, context_settings=OPEN, add_help_option=False)
    @click.argument("settings", nargs=-1, type=click.UNPROCESSED)
    @click.option("-i", "--interactive", is_flag=True)
    @click.option("-h", "--help", "wants_help", is_flag=True)
    def command(settings: Sequence[str], interactive: bool, wants_help: bool) -> None:
        load_tensorflow()
        for task in larq_zoo_tasks():  # all of them, for the components they define
            importlib.import_module(task.module)
        if not interactive:
            run_task(info.load(), settings, f"lqz {info.name}", "all" if wants_help else "")
            return
        from zoo.adapters.zookeeper import cli

        cli.main([info.name, "-i", *settings], standalone_mode=False)

    return command


if __name__ == "__main__":
    sys.exit(main())
