"""The real `lqz` in separate processes: exit codes, no traceback, no early imports."""

import os
import subprocess
import sys

import pytest

import zoo
from training.cli import main

HEAVY = {"tensorflow", "zookeeper", "numpy", "larq", "larq_zoo", "tf_keras", "rich", "torch"}
COMMANDS = ("list", "summary", "predict", "convert", "train", "evaluate")


def lqz(*args, **env):
    """Run the command as a user would, without a terminal."""
    return run_python("-m", "training", *args, **env)


def run_python(*args, **env):
    """Run Python in a separate process, for at most two minutes."""
    command, environ = [sys.executable, *args], {**os.environ, **env}
    return subprocess.run(
        command, check=False, capture_output=True, text=True, env=environ, timeout=120
    )


def assert_refused(result, *texts):
    """Exit code 2 and one message without a traceback."""
    assert result.returncode == 2, result.stderr
    assert "Traceback" not in result.stderr and result.stdout == ""
    assert all(text in result.stderr for text in texts), result.stderr


@pytest.mark.parametrize(
    "args",
    [
        ["--help"],
        [],
        ["train"],
        ["list", "--help"],
        ["train", "-h"],
        ["evaluate", "-h"],
        ["predict", "-h"],
        ["convert", "-h"],
        ["list", "--weights"],
    ],
)
def test_help_imports_nothing_heavy(args):
    code = (
        "import sys; from training.cli import main; "
        f"code = main({args!r}); print(sorted({{m.split('.')[0] for m in sys.modules}})); "
        "sys.exit(code)"
    )
    result = run_python("-c", code)
    assert result.returncode == 0, result.stderr
    imported = set(eval(result.stdout.splitlines()[-1]))
    assert not imported & HEAVY


def test_help_names_the_commands():
    result = lqz("--help")
    assert result.returncode == 0
    assert all(f"  {name} " in result.stdout for name in COMMANDS)


@pytest.mark.parametrize(
    ("args", "texts"),
    [
        (["trian"], ["no command trian; did you mean train?", "TrainBinaryAlexNet"]),
        (["TrainBinaryAlexNt"], ["did you mean TrainBinaryAlexNet?"]),
        (["--hlep"], ["--hlep", "Did you mean --help?"]),
        (["list", "--jsn"], ["Did you mean --json?"]),
        (["train", "--hlep"], ["Did you mean one of: --help, --help-all?"]),
        (["train", "ReActNet", "--dryrun"], ["Did you mean --dry-run?"]),
        (["train", "NoSuchNet", "epochs=3"], ["no task NoSuchNet"]),
        (["summary"], ["Missing argument MODEL"]),
    ],
)
def test_typing_errors(args, texts):
    result = lqz(*args)
    result.stderr = result.stderr.replace("'", "")  # click's versions differ
    assert_refused(result, *texts)


def test_tasks_of_larq_zoo_answer_in_any_spelling():
    result = lqz("train_binary_alex_net", "dataset=Mnist", "--help")
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("Usage: lqz TrainBinaryAlexNet [key=value ...]")
    assert "dataset.data_dir" in result.stdout and "Log metrics to Tensorboard." in result.stdout
    assert result.stderr == ""  # TensorFlow's start-up messages are not shown


def test_a_wrong_key_of_a_larq_zoo_task_is_one_sentence(capsys):
    assert main(["TrainBinaryAlexNet", "epoch=3"]) == 2
    printed = capsys.readouterr()
    assert printed.out == "" and len(printed.err.splitlines()) == 1
    assert "There is no key 'epoch'; did you mean 'epochs'?" in printed.err


# A command instead of `list` that fails with the error named in the environment.
FAILING = """
import os, sys, click
from training import cli
from training.commands import list as show
from zoo.errors import ZooError
@click.command("list")
def failing():
    raise eval(os.environ["ERROR"])
show.list_models = failing
sys.exit(cli.main(["list"]))
"""


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        ("ZooError('say so')", 2, "Error: say so\n"),
        ("OSError(28, 'No space left on device', 'x')", 2, "Error: No space left on device: x.\n"),
        ("PermissionError(13, 'Permission denied', 'x')", 2, "Error: Permission denied: x.\n"),
        ("OSError(5, 'Input/output error')", 2, "Error: Input/output error.\n"),
        (
            "OSError(36, 'File name too long', 300 * 'x')",
            2,
            f"Error: File name too long: {200 * 'x'}....\n",
        ),
        ("MemoryError()", 2, "Error: There is not enough memory (no details).\n"),
        ("ZooError('\\x1b[2Jx')", 2, "Error: \\x1b[2Jx\n"),
        ("KeyboardInterrupt()", 130, "\nInterrupted.\n"),
        ("click.exceptions.Exit(1)", 1, ""),
        ("BrokenPipeError(32, 'Broken pipe')", 1, ""),
    ],
)
def test_failures_a_user_can_put_right(error, code, text):
    result = run_python("-c", FAILING, ERROR=error)
    assert (result.returncode, result.stderr) == (code, text)


COMPLETE = """
import sys
from training.cli import main
try:
    main()
finally:
    assert "tensorflow" not in sys.modules and "numpy" not in sys.modules
"""


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("lqz predict reactnet1", ["plain,ReActNet18"]),
        ("lqz export runs/", ["file,runs/"]),
        ("lqz train SDBNNV", ["plain,SDBNNVGGSmall"]),
        ("lqz pred", ["plain,predict"]),
    ],
)
def test_a_shell_completes_names(words, offered):
    count = str(len(words.split()) - 1)
    where = {"_LQZ_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": count}
    result = run_python("-c", COMPLETE, **where)
    assert result.stdout.splitlines() == offered, result.stderr


def test_version():
    assert lqz("--version").stdout == f"lqz, version {zoo.__version__}\n"


@pytest.mark.parametrize("error", ["ValueError('bug')", "OSError('bug')", "EOFError('bug')"])
def test_a_bug_keeps_its_traceback(error):
    result = run_python("-c", FAILING, ERROR=error)
    assert result.returncode == 1 and "Traceback" in result.stderr


def test_debugging_shows_where_an_error_came_from():
    result = run_python("-c", FAILING, ERROR="ZooError('say so')", ZOO_DEBUG="1")
    assert result.returncode == 2
    assert "Traceback" in result.stderr and result.stderr.endswith("Error: say so\n")


def test_a_closed_pipe_is_silent():
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "training", "--help"]
    with os.fdopen(writing, "w") as pipe:
        result = subprocess.run(
            command, check=False, stdout=pipe, stderr=subprocess.PIPE, text=True, timeout=60
        )
    assert result.stderr == ""
