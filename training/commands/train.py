"""`lqz train`: train with a recipe, or list the recipes. larq-zoo's tasks run the same way."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import click

from training.commands import completion
from training.commands.task_help import print_task_help
from training.settings.assignments import parse_assignments
from training.settings.discovery import find_task, recipe_tasks
from training.terminal import OPEN, load_tensorflow, print_table
from zoo.errors import InvalidValueError, RunError, UnknownNameError
from zoo.files import expanded

PATH = click.Path(path_type=Path)


TRAIN_OPTIONS = (
    "--help",
    "--help-all",
    "--dry-run",
    "--program",
    "--images",
    "--part-mib",
    "--from-program",
)


@click.command(context_settings=OPEN, add_help_option=False)
@click.argument("task", required=False, shell_complete=completion.tasks)
@click.argument("settings", nargs=-1, type=click.UNPROCESSED)
@click.option("--dry-run", is_flag=True, help="Show the plan; train nothing.")
@click.option(
    "--program",
    type=PATH,
    metavar="DIR",
    help="Write the next unfinished stage to DIR as a program for JAX; train nothing.",
)
@click.option(
    "--images",
    type=PATH,
    metavar="DIR",
    help="Folder for the program's images; several programs can share it.",
)
@click.option(
    "--part-mib",
    type=click.IntRange(1),
    default=16,
    show_default=True,
    help="Largest size in MiB of a file of the program's images.",
)
@click.option(
    "--from-program",
    type=PATH,
    metavar="DIR",
    help="Load what the program in DIR has trained, and continue.",
)
@click.option(
    "-h",
    "--help",
    "wants_help",
    is_flag=True,
    help="Show this text, or the common settings of TASK.",
)
@click.option("--help-all", is_flag=True, help="Show all settings of TASK.")
@click.pass_context
def train(
    ctx: click.Context,
    task: str | None,
    settings: Sequence[str],
    dry_run: bool,
    wants_help: bool,
    help_all: bool,
    program: Path | None,
    images: Path | None,
    part_mib: int,
    from_program: Path | None,
) -> None:
    """Train with the recipe TASK and SETTINGS (key=value); without TASK, list the recipes.

    TASK may also be the directory of a run, which then continues with its own settings.
    """
    tasks = recipe_tasks()
    for text in (task or "", *settings):
        if text.startswith("--") and get_close_matches(text, TRAIN_OPTIONS, cutoff=0.8):
            raise click.NoSuchOption(text, possibilities=TRAIN_OPTIONS, ctx=ctx)
    if task is None:
        if wants_help or help_all:
            click.echo(ctx.get_help() + "\n")
        print_table(["task", ""], [[info.name, info.summary] for info in tasks])
        click.echo("\n'lqz train TASK --help' shows the settings.")
        return
    began: dict[str, Any] = {}
    if (Path(task) / "config.json").is_file():
        from training.loop.run_directory import read_config

        began = read_config(Path(task))
        if "task" not in began:
            raise RunError(f"'{task}' is not a run of `lqz train`: its config.json names no task.")
        task, began["output_dir"] = str(began.pop("task")), task
    info = find_task(task, tasks)
    if info is None and ("/" in task or Path(task).is_dir()):
        raise RunError(f"'{task}' is not a run of `lqz train`: it has no config.json.")
    if info is None:
        raise UnknownNameError("task", task, [info.name for info in tasks])
    if images and not program:
        raise InvalidValueError("--images goes with --program DIR.")
    if not (wants_help or help_all):
        from training.commands.declared import check_settings

        conf = parse_assignments(settings)
        if not (expanded(str(conf.get("output_dir", ""))) / "config.json").is_file():
            check_settings(info, {**began, **conf})  # before TensorFlow is loaded
    load_tensorflow()

    def run(task: Any) -> None:
        if not program and not from_program:
            task.run()
            return
        from training.portable.program import ProgramRequest
        from training.portable.take_back import ProgramState

        request = ProgramRequest(program, images, part_mib * 2**20) if program else None
        if request:
            request.check()
        state = ProgramState.read(from_program, task.digest) if from_program else None
        task.train(request, state)

    shown = "all" if help_all else "common" if wants_help else ""
    run_task(info.load(), settings, f"lqz train {info.name}", shown, dry_run, run, began)


def run_task(
    cls: Any,
    settings: Sequence[str],
    command: str,
    shown: str = "",
    dry_run: bool = False,
    run: Callable[[Any], Any] = lambda task: task.run(),
    began: Mapping[str, Any] | None = None,
) -> None:
    """Configure a task with `settings` and `run` it, or show the settings.

    Args:
        cls: the task.
        settings: as key=value.
        command: the command that runs it, for its help.
        shown: "common" or "all" prints these settings and runs nothing.
        dry_run: print the plan and run nothing.
        run: runs the configured task.
        began: the settings of the run that is continued; `settings` have priority.
    """
    from training.settings.configuration import configure_task

    conf = parse_assignments(settings)
    conf = {**(began or _as_it_began(cls.__name__, conf)), **conf}
    if shown:
        print_task_help(cls, conf, command, everything=shown == "all")
        return
    if dry_run and not hasattr(cls, "dry_run"):
        raise InvalidValueError(f"{cls.__name__} is a larq-zoo task, which has no dry run.")
    task = configure_task(cls, conf)
    if dry_run:
        task.dry_run()
    else:
        run(task)


def _as_it_began(task: str, conf: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of the run in `output_dir`, if it began when recipes had other defaults.

    So the command that started a run also continues it. Settings in `conf` are left out, and so are
    the settings of components that `conf` replaces.
    """
    run = expanded(str(conf.get("output_dir", "")))
    if "output_dir" not in conf or not (run / "config.json").is_file():
        return {}
    from training.loop.run_directory import CONFIG, read_config, read_json
    from training.settings.saved_config import NUMBER

    before = read_config(run)
    if NUMBER in read_json(run / CONFIG, f"remove {run} to start again", {}):
        return {}
    if before.pop("task", None) != task:
        return {}
    parts = {key for key in conf if "." not in key}
    return {key: value for key, value in before.items() if key.partition(".")[0] not in parts}
