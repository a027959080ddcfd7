"""The shortest command for a run, from the run's record."""

import pytest

from training.settings.configuration import configure_task, parse_assignments
from training.settings.discovery import find_task, recipe_tasks
from training.settings.shortest_command import shortest_command


def config_of(task, *settings):
    found = find_task(task, recipe_tasks())
    return configure_task(found.load(), parse_assignments(settings)).config


@pytest.mark.parametrize(
    ("task", "settings"),
    [
        ("ReActNet", []),
        ("ReActNet", ["seed=1"]),
        ("SDBNNResNet20", ["epochs=60"]),
        ("OneHour", ["dataset=FashionMNIST", "crop_epochs=0", "schedule=linear"]),
        ("SDBNNResNet20", ["crop_epochs=9", "crop_size=20"]),
        ("ReActNet20", ["teacher=ReActNet18", "teacher.num_classes=12"]),
        ("OneHour", ["ema=0.99", "warmup_epochs=2.0"]),
        ("Demo", ["model=ReActNetB", "preprocessing.padding=2"]),
        ("BiRealNetPaper", ["preprocessing.input_shape=(160,160,3)"]),
        ("RealResNet20", ["preprocessing=RandomResizedCropFlip"]),
    ],
)
def test_the_command_is_found_again(task, settings):
    config = config_of(task, *settings)
    program, verb, name, *found = shortest_command(config).replace("'", "").split(" ")
    assert (program, verb, name) == ("lqz", "train", task)
    assert sorted(found) == sorted(settings)
    assert config_of(task, *found) == config


def test_a_folder_of_this_machine_is_not_told():
    config = config_of("ReActNet20", "dataset=Cifar10", "dataset.data_dir=/home/me/data")
    assert shortest_command(config) == "lqz train ReActNet20 dataset.data_dir=DIR"


def test_another_projects_task():
    assert shortest_command({"task": "TrainBinaryAlexNet"}) == ""
