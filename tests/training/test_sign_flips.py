"""Signs that a run flipped, compared with its initial weights, which are computed again."""

import json
import shutil

import pytest

from benchmarks.sign_flips import measured
from training.recipes.one_hour import OneHour
from training.recipes.reactnet import ReActNet20
from training.settings.configuration import configure_task
from zoo.errors import InvalidValueError, RunError, UnknownNameError
from zoo.files import write_json

pytestmark = pytest.mark.usefixtures("small_networks")


@pytest.mark.slow
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
    if not rate:
        assert [row["held"] for row in rows] == ["0.0", "0.0"]


@pytest.mark.slow
def test_kernels_at_their_bound_are_held(tiny, tmp_path):
    """A step of 3 moves every latent weight with a gradient to +-1."""
    settings = {key: value for key, value in tiny.items() if not key.startswith("teacher")}
    settings |= {"learning_rate": 3.0, "schedule_every": "epoch", "epochs": 1, "crop_epochs": 0}
    run = configure_task(OneHour, {**settings, "output_dir": str(tmp_path / "run")}).run()
    (row,) = measured(run.directory)
    assert 80 < float(row["held"]) < 100


def test_what_is_no_finished_run_of_a_recipe(finished, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(finished.run.directory, run, ignore=shutil.ignore_patterns(".lock"))
    with pytest.raises(RunError, match=r"reactnet20.keras is not a run of `lqz train`"):
        list(measured(run / "reactnet20.keras"))
    config = json.loads((run / "config.json").read_text())
    write_json(run / "config.json", {**config, "task": "WarmUp"})
    with pytest.raises(UnknownNameError, match="WarmUp"):
        list(measured(run))
    (run / "reactnet20.keras").unlink()
    with pytest.raises(RunError, match="is not finished"):
        list(measured(run))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("recipe", "more"),
    [
        (OneHour, {}),
        (
            ReActNet20,
            {
                "first_stage_epochs": 0,
                "teacher": "RealResNet20",
                "teacher_epochs": 1,
                "teacher.weights": None,
            },
        ),
    ],
)
def test_a_run_that_went_on_from_weights_is_compared_with_them(tiny, tmp_path, recipe, more):
    settings = {key: value for key, value in tiny.items() if not key.startswith("teacher")}
    settings |= {"model": "ReActNet20", "crop_epochs": 0}
    first = configure_task(OneHour, {**settings, "output_dir": str(tmp_path / "first")}).run()
    settings |= {"seed": 3, "learning_rate": 0.0, "output_dir": str(tmp_path / "on"), **more}
    settings |= {"initialize_from": str(first.directory / "reactnet20.npz")}
    (row,) = measured(configure_task(recipe, settings).run().directory)
    assert (row["stage"], row["turned"], row["turned_in_all"]) == ("binary", "0.0", "0.0")


def test_a_network_without_binary_kernels_is_one_sentence(tiny, tmp_path):
    settings = {key: value for key, value in tiny.items() if "teacher" not in key}
    settings |= {"model": "RealResNet20", "crop_epochs": 0, "output_dir": str(tmp_path / "run")}
    run = configure_task(OneHour, settings).run()
    with pytest.raises(InvalidValueError, match="RealResNet20 has no binary kernels"):
        list(measured(run.directory))
