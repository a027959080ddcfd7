"""Mistakes that a command reports at once, without TensorFlow."""

import json
import subprocess
import sys

import pytest

from training.commands.declared import UNKNOWN, check_settings, keys_of
from training.settings.assignments import parse_assignments
from training.settings.discovery import recipe_tasks
from training.settings.fields import fields
from zoo.errors import UnknownNameError

# Commands, and a part of their messages.
WRONG = {
    "train Dmo": "There is no task 'Dmo'",
    "train Demo epohcs=3": "did you mean 'epochs'?",
    "train Demo --dry-run model.widht=2": "did you mean 'model.width'?",
    "train Demo epochs=x": "'epochs' must be a whole number, 0 or more, not 'x'",
    "train Demo model.width=0": "'model.width' must be a number, above 0, not 0",
    "train Demo optimizer=adm": "did you mean 'adam'?",
    "train Demo cache=disc": "did you mean 'disk'?",
    "train Demo model=ReactNet": "There is no model 'ReactNet'",
    "train Demo dataset=Cifarr": "did you mean 'Cifar10'?",
    "train Demo initialize_from=missing.npz": "There is no weights file 'missing.npz'",
    "train FineTune dataset.data_dir=missing": "There is no folder missing",
    "predict ReActNt20 IMAGE": "There is no model 'ReActNt20'",
    "predict ReActNet20 missing.png": "There is no image file 'missing.png'",
    "predict ReActNet20 .": "'.' is a folder: give image files",
    "predict missing.keras IMAGE": "There is no 'missing.keras'",
    "predict ReActNet20 IMAGE widht=2": "There is no argument 'widht'",
    "predict ReActNet20 IMAGE weights=missing.npz": "There is no weights file 'missing.npz'",
    "predict ReActNet20 IMAGE preprocessing=imagenot": "did you mean 'imagenet'?",
    "summary ReActNt20": "There is no model 'ReActNt20'",
    "summary ReActNet20 widht=2": "There is no argument 'widht'",
    "export ReActNt20 --format c -o out": "There is no model 'ReActNt20'",
    "evaluate ReActNt20": "There is no model 'ReActNt20'",
    "convert ReActNt20 x.pth": "There is no model 'ReActNt20'",
    "benchmark ReActNt20": "There is no model 'ReActNt20'",
}
PROGRAM = """
import contextlib, io, json, sys
from training.cli import main
found = []
for words in json.loads(sys.argv[1]):
    said = io.StringIO()
    with contextlib.redirect_stderr(said):
        code = main(words)
    heavy = {"tensorflow", "matplotlib", "tensorflow_datasets", "larq_zoo"} & set(sys.modules)
    found.append([code, said.getvalue(), sorted(heavy)])
print(json.dumps(found))
"""


def test_slips_are_told_without_tensorflow(tmp_path):
    image = tmp_path / "image.png"
    image.write_bytes(b"")
    commands = [each.replace("IMAGE", str(image)).split() for each in WRONG]
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(commands)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    answers = json.loads(run.stdout.splitlines()[-1])
    for words, part, (code, said, heavy) in zip(commands, WRONG.values(), answers, strict=True):
        assert (code, heavy) == (2, []), (words, said)
        assert part in said and said.count("\n") == 1, (words, said)


@pytest.mark.parametrize("info", recipe_tasks(), ids=lambda info: info.name)
def test_keys_read_from_the_source_are_those_of_the_class(info):
    real = {each.key: each.type for each in fields(info.load())}
    declared = keys_of(info.name, {})
    assert set(declared) == set(real)
    wrong = {k: (v, real[k]) for k, v in declared.items() if v is not UNKNOWN and v != real[k]}
    assert not wrong


@pytest.mark.parametrize(
    "task, word",
    [
        ("ReActNet20", "dataset=ImageFolder"),
        ("ReActNet", "dataset=fashion_mnist"),
        ("FineTune", "dataset=Cifar10"),
        ("ReActNet20", "model=BiRealNet18"),
        ("ReActNet20", "teacher=None"),
    ],
)
def test_keys_follow_the_components_that_are_chosen(task, word):
    info = next(each for each in recipe_tasks() if each.name == task)
    conf = parse_assignments([word])
    assert set(keys_of(task, conf)) == {each.key for each in fields(info.load(), conf)}


def test_what_only_the_opened_data_set_knows_is_left_to_the_class():
    assert keys_of("ReActNet20", parse_assignments(["dataset=tfds:mnist"])) is None


LATER = """
import json, sys
from training.commands.declared import check_settings
from training.settings.assignments import parse_assignments
from training.settings.configuration import configure_task
from training.settings.discovery import recipe_tasks
from zoo.errors import ZooError
info = next(each for each in recipe_tasks() if each.name == "Demo")
said = {}
for words in json.loads(sys.argv[1]):
    conf = parse_assignments(words)
    for check in (check_settings, lambda info, conf: configure_task(info.load(), conf)):
        try:
            check(info, conf)
        except ZooError as error:
            said.setdefault(" ".join(words), []).append(str(error))
print(json.dumps(said))
"""


def test_the_sentence_is_that_of_the_class():
    """In a separate process: components that other tests define would be choices here."""
    commands = [
        [word for word in each.split()[2:] if word != "--dry-run"]
        for each in WRONG
        if each.startswith("train Demo") and "init" not in each
    ]
    run = subprocess.run(
        [sys.executable, "-c", LATER, json.dumps(commands)],
        capture_output=True,
        text=True,
        check=True,
    )
    said = json.loads(run.stdout.splitlines()[-1])
    assert len(said) == len(commands)
    for words, sentences in said.items():
        assert len(sentences) == 2 and sentences[0] == sentences[1], words


def test_a_right_setting_passes():
    info = next(each for each in recipe_tasks() if each.name == "Demo")
    for words in (
        ["model=QuickNet"],
        ["teacher=KerasApplication", "teacher.application=ResNet50"],
        ["teacher=ResNet50"],  # the class refuses this name, because it knows Keras's networks
        ["model=react_net_a", "model.width=0.5", "preprocessing.flip=True"],
        ["dataset=image_folder", f"dataset.data_dir={info.module and '.'}"],
    ):
        check_settings(info, parse_assignments(words))
    with pytest.raises(UnknownNameError):
        check_settings(info, parse_assignments(["model=nothing"]))


def test_a_network_is_built_without_packages_that_it_does_not_need(tmp_path):
    """The stand-in for tensorflow-datasets imports the package at the first use."""
    code = """
import sys
from training.terminal import load_tensorflow
load_tensorflow()
import zoo, training.recipes.demo
zoo.RealResNet20(weights=None)
packages = ("tensorflow_datasets", "jax", "pandas", "scipy", "matplotlib")
print([name for name in packages if name in sys.modules])
from larq_zoo.training import data
from zookeeper.tf import preprocessing
skips = data.tfds.decode.SkipDecoding()
print(isinstance(skips, preprocessing.tfds.decode.Decoder), isinstance(1, type(skips)))
import tensorflow_datasets as tfds
print(data.tfds.load is tfds.load, isinstance(skips, tfds.decode.Decoder))
import scipy  # which was hidden from TensorFlow alone
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.splitlines() == ["[]", "True False", "True True"], done.stderr
