"""What the commands print, in this process, with stand-ins for the recipes and the zoo."""

import importlib
import json

import pytest
from zookeeper import ComponentField, Field, component, task

import zoo
from training import cli
from training.settings.discovery import TaskInfo
from training.terminal import print_table


@component
class Optimizer:
    # The first rate.
    rate: float = Field(0.1)


@task
class Toy:
    """Trains a toy.

    In no time.
    """

    # How often the data are seen.
    epochs: int = Field(3)
    optimizer: Optimizer = ComponentField(Optimizer)

    def run(self):
        print(f"ran {self.epochs} {self.optimizer.rate}")


@task
class Planned(Toy):
    def dry_run(self):
        print(f"would run {self.epochs}")


@pytest.fixture
def run(monkeypatch, capsys):
    """Run `lqz` with the toy recipes; return exit code, stdout and stderr."""
    tasks = [TaskInfo(cls.__name__, __name__, "Trains a toy.") for cls in (Planned, Toy)]
    module = importlib.import_module("training.commands.train")
    for where in (cli, module):
        monkeypatch.setattr(where, "recipe_tasks", lambda: tasks)
        monkeypatch.setattr(where, "load_tensorflow", lambda: None)

    def run(*args):
        code = cli.main(args)
        out, err = capsys.readouterr()
        return code, out, err

    return run


def test_train_lists_the_tasks(run):
    code, out, _ = run("train")
    assert code == 0
    assert out.splitlines()[1:3] == ["Planned  Trains a toy.", "Toy      Trains a toy."]


def test_train_runs_a_task(run):
    assert run("train", "toy", "epochs=4", "optimizer.rate=1") == (0, "ran 4 1.0\n", "")


def test_train_help_shows_every_field(run, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")  # an explanation stands beside its setting
    code, out, _ = run("train", "Toy", "--help")
    assert code == 0 and out.startswith("Usage: lqz train Toy [key=value ...]\n\nTrains a toy.")
    lines = [line.split(maxsplit=1) for line in out.splitlines()]
    assert ["epochs=3", "How often the data are seen."] in lines
    assert ["optimizer=Optimizer", "Optimizer."] in lines
    assert ["optimizer.rate=0.1", "The first rate."] in lines
    assert "ran" not in out


def test_dry_run(run):
    assert run("train", "Planned", "--dry-run", "epochs=2") == (0, "would run 2\n", "")
    code, out, err = run("train", "Toy", "--dry-run")
    assert (code, out, err) == (2, "", "Error: Toy is a larq-zoo task, which has no dry run.\n")


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (["train", "Toi"], "no task 'Toi'; did you mean 'Toy'? Valid names: Planned, Toy."),
        (["train", "Toy", "epoch=3"], "no key 'epoch'; did you mean 'epochs'?"),
        (["train", "Toy", "rate=3"], "no key 'rate'; did you mean 'optimizer.rate'?"),
        (["train", "Toy", "epochs=x"], "'epochs' must be a whole number, not 'x'."),
        (["train", "Toy", "epochs"], "'epochs' is not a setting: write key=value."),
        (["Toy"], "'Toy' is a task: run 'lqz train Toy'."),
    ],
)
def test_mistakes_are_one_sentence(run, args, text):
    code, out, err = run(*args)
    assert code == 2 and out == "" and text in err and len(err.splitlines()) == 1


def test_list_has_every_model(run):
    code, out, _ = run("list")
    head, *lines = out.splitlines()
    assert code == 0 and head.split()[:2] == ["model", "paper"]
    assert [line.split()[0] for line in lines] == zoo.list_models()
    assert "None" not in out


def test_list_shows_the_figures(run):
    _, out, _ = run("list", "reactneta")
    first = out.splitlines()[1]
    for cell in ("ReActNetA", "69.40", "29.34", "7.53", "4,816.9", "11.9", "87.1", "imagenet"):
        assert cell in first


def test_list_as_json(run):
    _, out, _ = run("list", "ReActNetA", "--json")
    (found,) = json.loads(out)
    assert found["model"] == "ReActNetA" and found["binary_macs"] == 4_816_896_000
    assert found["ops"] == found["binary_macs"] / 64 + found["float_macs"]


def test_list_finds_a_part_of_a_name(run):
    _, out, _ = run("list", "react")
    found = [line.split()[0] for line in out.splitlines()[1:]]
    assert found == zoo.list_models("react*") and len(found) > 4


def test_list_without_a_match(run):
    code, out, err = run("list", "ReActNetX")
    assert code == 2 and out == "" and "did you mean 'ReActNet" in err


@pytest.fixture
def terminal(monkeypatch):
    """A terminal of 80 columns."""
    monkeypatch.setattr("training.terminal.on_terminal", lambda: True)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "dumb")


def test_a_table_on_a_terminal_fits_it(terminal, capsys):
    print_table(["key", "text"], [["[red]", "word " * 30]])
    out = capsys.readouterr().out
    assert "[red]" in out and max(map(len, out.splitlines())) <= 80


def test_list_on_a_narrow_terminal_keeps_its_figures_whole(terminal, run):
    _, out, _ = run("list")
    assert max(map(len, out.splitlines())) <= 80
    for cell in ("ReActNetA ", "XNORNetPlusPlusResNet18 ", " 69.40 ", " 4,816.9 ", " 87.1 "):
        assert cell in out
    assert "imagenet" in out
