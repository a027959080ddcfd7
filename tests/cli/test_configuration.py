"""Text to a configured task and back, on small components of every kind of field."""

import json
import os
from pathlib import Path
from typing import Literal, Optional, Union

import pytest
from zookeeper import ComponentField, Field, task

from tests.cli.components import Network, Small, Train
from training.settings.configuration import (
    configure_task,
    convert,
    describe,
    fields,
    nearest_keys,
    parse_assignments,
    resolved,
    type_name,
)
from zoo.errors import InvalidValueError, UnknownNameError


def one_field(key, conf=None, cls=Train):
    return next(info for info in fields(cls, conf) if info.key == key)


@pytest.mark.parametrize(
    ("arg", "expected"),
    [
        ("epochs=3", {"epochs": "3"}),
        ("a.b_c=[1, 2]", {"a.b_c": "[1, 2]"}),
        ("query=a=b=c", {"query": "a=b=c"}),
        ("name=", {"name": ""}),
        ("path=/tmp/x y", {"path": "/tmp/x y"}),
        ("--fast", {"fast": True}),
        ("--no-fast", {"fast": False}),
        ("--model.include_top", {"model.include_top": True}),
        ("--epochs=3", {"epochs": "3"}),
    ],
)
def test_assignments(arg, expected):
    assert parse_assignments([arg]) == expected


NUMBER_LIKE = ("2024_11_27", "0x10", "0b11", "1_000", "007", "1e5", "True", "None", "(1,2)", "3.0")


@pytest.mark.parametrize("name", NUMBER_LIKE)
def test_what_looks_like_a_number_is_a_name_where_a_name_is_asked_for(name):
    words = [f"output_dir={name}", f"label={name}", f"names=['x',{name}]"]
    task = configure_task(Train, parse_assignments(words))
    assert task.output_dir == Path(name) and task.label == name and task.names == ["x", name]
    words = [f"dataset.data_dir=photos/{name}", "dataset=Small"]
    assert configure_task(Train, parse_assignments(words)).dataset.data_dir == Path("photos", name)


@pytest.mark.parametrize("args", [["epochs"], ["=3"], ["3=x"], ["a-b=3"], ["a=1", "a=2"]])
def test_malformed_assignments(args):
    with pytest.raises(InvalidValueError, match=r"not a setting|given twice"):
        parse_assignments(args)


def test_fields_are_walked_with_docs_and_defaults():
    infos = {info.key: info for info in fields(Train)}
    assert infos["epochs"].doc == "How often." and infos["epochs"].default == "3"
    assert infos["dataset.data_dir"].doc == "Where the images are."
    assert infos["dataset.data_dir"].type_name == "Path | None"
    assert infos["rate"].doc == "The rate."
    assert infos["total"].doc == "Steps in all." and infos["total"].default == "computed"
    assert infos["model.width"].default == "0.5"  # of the PartialComponent
    assert infos["model.epochs"].default == "as epochs"
    assert infos["model.dataset"].default == "as dataset"
    assert infos["names"].default == "['p', 'q']" and infos["output_dir"].default == "runs"
    assert infos["dataset"].choice_names == ["Large", "Small"]
    assert infos["model"].choice_names == ["Deep", "Wide"] and infos["model"].default == "Wide"
    # Values of an inherited component are set where it is defined, and only there.
    assert "model.dataset.size" not in infos and "dataset.size" in infos
    assert not any(info.required for info in infos.values())


def test_fields_follow_the_configured_class():
    keys = {info.key for info in fields(Train, {"model": "deep", "dataset": "Large"})}
    assert "model.depth" in keys and "model.width" not in keys and "dataset.options" in keys
    assert one_field("dataset.size", {"dataset": "Large"}).required
    assert "teacher.width" in {info.key for info in fields(Train, {"teacher": "Wide"})}


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("rate", 1, 1.0),
        ("shape", [4, 5], (4, 5)),
        ("steps", [4, 5, 6], (4, 5, 6)),
        ("fast", "TRUE", True),
        ("label", 2024, "2024"),
        ("output_dir", "some/where", Path("some/where")),
        ("output_dir", "~/x", Path.home() / "x"),
        ("names", ("a", "b"), ["a", "b"]),
        ("limit", None, None),
        ("limit", 4, 4),
        ("mode", "b", "b"),
    ],
)
def test_values_are_converted(key, value, expected):
    result = getattr(configure_task(Train, {key: value}), key)
    assert result == expected and type(result) is type(expected)


def test_text_for_a_nested_path():
    task = configure_task(Train, {"dataset.data_dir": "images"})
    assert task.dataset.data_dir == Path("images")


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("epochs", "ten", "a whole number"),
        ("epochs", 1.5, "a whole number"),
        ("epochs", True, "a whole number"),
        ("epochs", None, "a whole number"),
        ("rate", "fast", "a number"),
        ("fast", 1, "True or False"),
        ("shape", (1, 2, 3), "a list of 2 whole numbers"),
        ("shape", 3, "a list of 2 whole numbers"),
        ("steps", ["a"], "a list of whole numbers"),
        ("mode", "c", "one of 'a', 'b'"),
        ("limit", "many", "a whole number or None"),
        ("label", 1.5, "a string"),
        ("dataset", 3, "one of Large, Small"),
        ("dataset", None, "one of Large, Small"),
    ],
)
def test_a_wrong_value_is_named(key, value, words):
    with pytest.raises(InvalidValueError) as caught:
        configure_task(Train, {key: value})
    assert str(caught.value) == f"'{key}' must be {words}, not {value!r}."


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        ("epoch", "'epochs'"),
        ("data_dir", "'dataset.data_dir'"),
        ("data_dri", "'dataset.data_dir'"),
        ("dataset.sise", "'dataset.size'"),
        ("model.dataset.size", "'dataset.size'"),
        ("size", "'dataset.size'"),
    ],
)
def test_an_unknown_key_offers_the_nearest(key, hint):
    with pytest.raises(UnknownNameError) as caught:
        configure_task(Train, {key: 3})
    assert f"There is no key '{key}'; did you mean {hint}?" in str(caught.value)
    assert "Valid keys: batch_size, " in str(caught.value)


def test_nearest_keys_gives_every_equal_match():
    assert nearest_keys("x", ["a.x", "b.x", "c.y"]) == ["a.x", "b.x"]
    assert nearest_keys("entirely", ["a.x"]) == [] and nearest_keys("x", []) == []


def test_a_wrong_component_offers_the_nearest():
    with pytest.raises(UnknownNameError, match="no data set 'Smal'; did you mean 'Small'"):
        configure_task(Train, {"dataset": "Smal"})
    with pytest.raises(UnknownNameError, match="no model 'Depp'; did you mean 'Deep'"):
        configure_task(Train, {"model": "Depp"})


@pytest.mark.parametrize("name", ["Wide", "wide", "WideFactory", "wide_factory"])
def test_components_go_by_several_names(name):
    assert resolved(configure_task(Train, {"model": name}))["model"] == "WideFactory"


def test_naming_the_default_component_keeps_what_the_default_sets():
    assert resolved(configure_task(Train, {"model": "Wide"}))["model.width"] == 0.5


def test_a_field_without_a_value_is_named():
    with pytest.raises(InvalidValueError, match=r"'dataset.size' has no value; give a whole num"):
        configure_task(Train, {"dataset": "Large"})


def test_the_only_component_is_taken_without_a_word(capfd):
    @task
    class Sole:
        data: Small = ComponentField()

        def run(self):
            pass

    assert resolved(configure_task(Sole, {"data.size": 4}))["data.size"] == 4
    assert not any(capfd.readouterr())


def test_errors_of_zookeepers_hooks_are_one_sentence():
    @task
    class Choosy:
        size: int = Field(1)

        def __post_configure__(self):
            raise ValueError("size is odd\nand more")

        def run(self):
            pass

    with pytest.raises(InvalidValueError, match=r"^size is odd$"):
        configure_task(Choosy, {})


def test_annotations_as_text_are_reported_to_the_author():
    @task
    class Quoted:
        size: "int" = Field(1)

        def run(self):
            pass

    with pytest.raises(TypeError, match="from __future__ import annotations"):
        fields(Quoted)


def test_resolved_holds_json_and_builds_nothing():
    before = Network.built
    config = resolved(configure_task(Train, {"epochs": 5}))
    assert Network.built == before
    assert json.loads(json.dumps(config)) == config and list(config) == sorted(config)
    assert config["total"] == 500 and config["epochs"] == 5 and config["output_dir"] == "runs"
    assert config["model"] == "WideFactory" and config["model.width"] == 0.5
    assert config["dataset.data_dir"] is None and config["shape"] == [8, 8]
    # A child's own default differs from the parent's value; what it inherits is not repeated.
    assert config["model.batch_size"] == 7 and "model.epochs" not in config
    assert {"schedule", "broken", "model.dataset", "teacher"}.isdisjoint(config)


@pytest.mark.parametrize(
    "conf",
    [
        {},
        {"epochs": 9, "model.epochs": 2, "rate": 1},
        {"epochs": 3, "model.epochs": 3},
        {"model": "Deep", "model.depth": 34, "dataset.data_dir": "~/images"},
        {"teacher": "Wide", "teacher.width": 2, "dataset": "Large", "dataset.size": 2},
        {"teacher": None, "batch_size": 7},
        {"model.dataset": "Large", "model.dataset.size": 2},
    ],
)
def test_resolved_round_trip(conf):
    first = resolved(configure_task(Train, conf))
    again = resolved(configure_task(Train, json.loads(json.dumps(first))))
    assert json.dumps(again) == json.dumps(first)


def test_types_in_words():
    assert type_name(tuple[int, ...] | None) == "tuple[int, ...] | None"
    # As zookeeper's and larq-zoo's own components are annotated.
    assert type_name(Optional[int]) == "int | None"
    assert convert("x", Union[str, os.PathLike, None]) == Path("x")
    assert type_name(Literal["a", 1]) == "'a' | 1"
    assert describe(list[Path]) == "a list of paths"
    assert describe(str | os.PathLike) == "a string or a path"
