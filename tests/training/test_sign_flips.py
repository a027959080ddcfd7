"""Signs turned by a run, from the first weights, which are made again."""

import pytest

from benchmarks.sign_flips import measured
from training.configuration import configure_task
from training.recipes.one_hour import OneHour
from training.recipes.reactnet import ReActNet20
from zoo.errors import InvalidValueError


@pytest.mark.parametrize("rate", [0.0, 0.1])
def test_turned_signs_of_a_run_of_two_stages(tiny, tmp_path, rate):
    settings = {key: value for key, value in tiny.items() if not key.startswith("teacher")}
    more = {"learning_rate": rate, "crop_epochs": 1, "crop_size": 20}
    run = configure_task(OneHour, {**settings, **more, "output_dir": str(tmp_path / "run")}).run()
    rows = list(measured(run.directory))
    assert [(row["stage"], row["epochs"]) for row in rows] == [("binary crops", 1), ("binary", 1)]
    turned = [float(row["turned"]) for row in rows]
    assert all(0 < each < 60 for each in turned) if rate else turned == [0.0, 0.0]
    assert float(rows[1]["turned_in_all"]) <= sum(turned)


@pytest.mark.parametrize(("recipe", "more"), [
    (OneHour, {}),
    (ReActNet20, {"first_stage_epochs": 0, "teacher": "RealResNet20", "teacher_epochs": 1}),
])  # fmt: skip
def test_a_run_that_went_on_from_weights_is_compared_with_them(tiny, tmp_path, recipe, more):
    settings = {key: value for key, value in tiny.items() if not key.startswith("teacher")}
    settings |= {"model": "ReActNet20"}
    first = configure_task(OneHour, {**settings, "output_dir": str(tmp_path / "first")}).run()
    settings |= {"seed": 3, "learning_rate": 0.0, "output_dir": str(tmp_path / "on"), **more}
    settings |= {"initialize_from": str(first.directory / "reactnet20.npz")}
    (row,) = measured(configure_task(recipe, settings).run().directory)
    assert (row["stage"], row["turned"], row["turned_in_all"]) == ("binary", "0.0", "0.0")


def test_a_network_without_binary_kernels_is_one_sentence(tiny, tmp_path):
    settings = {key: value for key, value in tiny.items() if "teacher" not in key}
    settings |= {"model": "RealResNet20", "output_dir": str(tmp_path / "run")}
    run = configure_task(OneHour, settings).run()
    with pytest.raises(InvalidValueError, match="RealResNet20 has no binary kernels"):
        list(measured(run.directory))
