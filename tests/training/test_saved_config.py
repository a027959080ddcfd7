"""`config.json` of older versions: recipes of format 1 keep their meaning and their names.

`former_recipes.json` was written by commit 9b34594, the last of format 1: what its recipes resolved
to, their digests, and the values of their stages.
"""

import json
from pathlib import Path

import pytest

from training import cli
from training.loop.run_directory import read_config
from training.recipes._settings import OPERATIONAL
from training.recipes.one_hour import OneHour
from training.settings import saved_config
from training.settings.configuration import configure_task
from training.settings.discovery import find_task, recipe_tasks
from zoo.errors import RunError

FORMER = json.loads(Path(__file__).with_name("former_recipes.json").read_text())


def name_of(former) -> str:
    return f"{former['config']['task']}-{former['digest']}"


@pytest.mark.parametrize("former", FORMER, ids=name_of)
def test_a_former_recipe_means_what_it_meant(former):
    config = saved_config.current(former["config"])
    assert {key: config[key] for key in former["config"]} == former["config"]
    settings = {key: value for key, value in config.items() if key != "task"}
    recipe = configure_task(find_task(config["task"], recipe_tasks()).load(), settings)
    assert recipe.config == config and recipe.digest == former["digest"]
    stages = recipe.stages()
    assert len(stages) == len(former["stages"])
    for stage, values in zip(stages, former["stages"], strict=True):
        assert [round(stage.schedule(i / 7), 6) for i in range(7)] == values.pop("rates")
        optimizer = {**stage.optimizer(0.1).get_config()}
        assert {key: optimizer[key] for key in values["optimizer"]} == values.pop("optimizer")
        assert {key: getattr(stage, key) for key in values} == values


def test_every_former_recipe_is_there():
    assert {former["config"]["task"] for former in FORMER} == set(saved_config.FORMER)


def test_what_is_neutral_is_the_bases_default():
    """A recipe without own values has the neutral values."""
    config = configure_task(find_task("OneHour", recipe_tasks()).load(), {}).config
    own = {"crop_epochs", "schedule", "schedule_every"}
    neutral = {k: v for k, v in saved_config.NEUTRAL.items() if k in config and k not in own}
    assert {key: config[key] for key in neutral} == neutral
    unknown = saved_config.NEUTRAL.keys() - config.keys()
    assert unknown == {"dataset.split_seed"}  # of a folder of images


def test_a_setting_that_does_nothing_changes_no_name():
    digest = configure_task(OneHour, {}).digest
    assert configure_task(OneHour, {"momentum": 0.9}).digest == digest
    assert configure_task(OneHour, {"ema": 0.9}).digest != digest
    assert configure_task(OneHour, {"tensorboard": False, "cache": "none"}).digest == digest
    assert not set(OPERATIONAL) & configure_task(OneHour, {}).config.keys()


@pytest.mark.parametrize("number", [3, 0, "2", True])
def test_an_unknown_format_is_one_sentence(number, tmp_path, capsys):
    (tmp_path / "config.json").write_text(json.dumps({"format": number, "task": "OneHour"}))
    with pytest.raises(RunError, match=r"has format .*, this package reads formats 1 to 2: update"):
        read_config(tmp_path)
    assert cli.main(["train", str(tmp_path)]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_another_tools_config_is_one_sentence(tmp_path, capsys):
    (tmp_path / "config.json").write_text(json.dumps({"architectures": ["ResNet"]}))
    assert cli.main(["train", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert "its config.json names no task." in error and error.count("\n") == 1
