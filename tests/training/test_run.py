"""A whole run of every stage on real images: its files, repetition and refusals."""

import csv
import itertools
import json
from contextlib import redirect_stdout
from io import StringIO

import numpy as np
import pytest

import zoo
from training.loop import stage_trainer as engine
from training.loop.run_directory import RunDirectory
from training.recipes.bireal_net import BiRealNet20
from training.recipes.reactnet import ReActNet
from training.recipes.resnet import RealResNet20
from training.settings.configuration import configure_task
from zoo.errors import InvalidValueError, RunError
from zoo.files import sha256
from zoo.weights.files import read_npz

pytestmark = pytest.mark.usefixtures("small_networks")

STAGES = ("teacher", "binary activations", "binary")


def test_every_stage_leaves_its_result_weights_and_logs(finished):
    directory = finished.run.directory
    assert [result.name for result in finished.run.results] == list(STAGES)
    for index, result in enumerate(finished.run.results, start=1):
        stage = directory / f"{index}-{result.name.replace(' ', '-')}"
        assert json.loads((stage / "result.json").read_text())["top1"] == result.top1
        assert sha256(stage / result.weights) == result.sha256
        assert result.images == 40 and 0 <= result.top1 <= result.top5 <= 100
        with (stage / "log.csv").open() as lines:
            rows = list(csv.DictReader(lines))
        assert len(rows) == 1 and np.isfinite(float(rows[0]["loss"]))
        assert 0 <= float(rows[0]["input_wait"]) <= 1 and float(rows[0]["images_per_second"]) > 0
        assert list(stage.glob("events.out.tfevents.*"))
        assert not list(stage.glob("step-*"))  # checkpoints are removed when the result is written


def test_stages_are_linked_by_hashes(finished):
    teacher, first, second = finished.run.results
    assert first.inputs == {"teacher": teacher.sha256}
    assert second.inputs == {"binary activations": first.sha256, "teacher": teacher.sha256}


def test_two_steps_move_all_weights_from_where_the_stage_before_left_them(finished):
    directory = finished.run.directory
    first = read_npz(directory / "2-binary-activations" / "reactnet20.npz", "reactnet20")
    second = read_npz(directory / "3-binary" / "reactnet20.npz", "reactnet20")
    kernel = "layer1.0.conv1.weight"
    assert 0 < np.abs(second[kernel] - first[kernel]).max() <= 2 * 5e-4 * 1.01  # two Adam steps
    unmoved = [k for k in first if "num_batches" not in k and np.array_equal(first[k], second[k])]
    assert not unmoved


def test_report_ends_with_table_summary_and_path(finished):
    lines = finished.printed.splitlines()
    assert lines[0].startswith("Training ReActNet on ImageFolder: 80 images, 2 classes.")
    assert lines[-1] == f"Saved: {finished.run.model_path}"
    assert "binary + " in lines[-2] and lines[-2].startswith("reactnet20: ")
    table = "\n".join(lines[-8:-2])
    assert all(stage in table for stage in STAGES) and "top-1 of 40" in table


def test_saved_model_loads_and_is_the_trained_one(finished):
    model = zoo.load_model(str(finished.run.model_path))
    images = np.random.default_rng(0).normal(size=(2, 28, 28, 1)).astype("float32")
    probabilities = model(images).numpy()
    np.testing.assert_allclose(probabilities.sum(-1), 1, rtol=1e-5)
    weights = finished.run.model_path.with_suffix(".npz")
    again = zoo.ReActNet20(input_shape=(28, 28, 1), num_classes=2, weights=str(weights))
    np.testing.assert_array_equal(again(images).numpy(), probabilities)


def test_the_packed_weights_beside_it_are_equal_to_the_bit(finished):
    latent = finished.run.directory / "reactnet20.npz"
    packed = finished.run.directory / "reactnet20-packed.npz"
    assert packed.stat().st_size < latent.stat().st_size / 10
    shape = {"input_shape": (28, 28, 1), "num_classes": 2}
    models = [zoo.ReActNet20(weights=str(path), **shape) for path in (latent, packed)]
    images = np.random.default_rng(0).normal(size=(2, 28, 28, 1)).astype("float32")
    ours, theirs = (model(images).numpy() for model in models)
    np.testing.assert_array_equal(ours, theirs)


def test_configuration_is_written_and_gives_the_same_recipe(finished):
    config = json.loads((finished.run.directory / "config.json").read_text())
    assert config.pop("devices").keys() == set(STAGES) and config.pop("format") == 2
    assert config["task"] == "ReActNet" and config["model"] == "ReActNet20Factory"
    assert config["learning_rate"] == 5e-4 and config["seed"] == 0
    settings = {k: v for k, v in config.items() if k != "task"}
    assert configure_task(ReActNet, settings).config == config


def test_a_finished_run_is_not_trained_again(finished):
    before = {p: p.stat().st_mtime_ns for p in finished.run.directory.glob("*/log.csv")}
    printed = StringIO()
    with redirect_stdout(printed):
        again = finished.make().run()
    assert again.results == finished.run.results
    assert printed.getvalue().count("is finished") == 3
    assert {p: p.stat().st_mtime_ns for p in before} == before


@pytest.mark.slow
def test_the_same_seed_gives_the_same_weights(finished, tmp_path):
    settings = {**finished.settings, "output_dir": str(tmp_path / "again")}
    again = configure_task(ReActNet, settings).run()
    assert [r.sha256 for r in again.results] == [r.sha256 for r in finished.run.results]


def test_another_recipe_is_refused_with_the_differences(finished):
    settings = {**finished.settings, "learning_rate": 1e-2, "seed": 3}
    with pytest.raises(RunError, match=r"learning_rate: 0.0005 there, 0.01 here; seed: 0 there, 3"):
        configure_task(ReActNet, settings).run()


def test_what_the_machine_decided_is_kept(finished, tmp_path):
    decided = json.loads((finished.run.directory / "machine.json").read_text())
    (bfloat16,) = {stage.bfloat16 for stage in finished.make().planned_stages()}
    assert decided == {"cache": "memory", "bfloat16": bfloat16, "photographs": "pillow"}
    says = r"began with cache=memory, and cache=none has a different order of images: remove cache="
    with pytest.raises(RunError, match=says):
        configure_task(ReActNet, {**finished.settings, "cache": "none"}).run()
    run = RunDirectory(tmp_path, {})
    assert run.decide({"cache": "none"}, {}) == {"cache": "none"}
    # With more memory, on another CPU, and with a decision that did not exist when the run began.
    now = {"cache": "memory", "bfloat16": True, "photographs": "pillow"}
    former = {"photographs": "tensorflow"}
    assert run.decide(now, former) == {"cache": "none", "bfloat16": True, **former}
    (tmp_path / "machine.json").write_text("{")
    with pytest.raises(RunError, match=r"machine\.json is damaged; remove .* to start again"):
        run.decide(now, former)


def test_the_same_run_finds_its_data_elsewhere(tmp_path):
    def run(**settings):
        task = configure_task(RealResNet20, {"dataset": "Cifar10", **settings})
        return RunDirectory(tmp_path, task.config, task.places), task.directory

    first, folder = run(**{"dataset.download": True})
    first.open()
    (tmp_path / "1-real").mkdir()
    (tmp_path / "1-real" / ".step-000000009.npz.99").write_bytes(b"half")  # of a killed process
    first.close()
    again, same_folder = run(**{"dataset.data_dir": "/elsewhere"})
    again.open()
    again.close()
    assert folder == same_folder and not list((tmp_path / "1-real").iterdir())
    other, other_folder = run(seed=1)
    with pytest.raises(RunError, match=r"\(seed: 0 there, 1 here\)"):
        other.open()
    other.close()
    assert other_folder != folder


def test_only_drafts_of_this_run_are_removed(tmp_path):
    """It keeps files of another run below it and of the user; a refused start removes nothing."""

    def run(seed):
        settings = {"dataset": "Cifar10", "output_dir": str(tmp_path), "seed": seed}
        return RunDirectory(tmp_path, configure_task(RealResNet20, settings).config)

    first = run(1)
    first.open()
    first.close()
    own, foreign, users = (
        tmp_path / "1-real" / ".step-000000009.npz.99",
        tmp_path / "other" / "1-real" / ".a.npz.99",
        tmp_path / "1-real" / ".notes.npz.txt",
    )
    for each in (own, foreign, users):
        each.parent.mkdir(parents=True, exist_ok=True)
        each.write_bytes(b"half")
    with pytest.raises(RunError, match="belongs to a different recipe"):
        run(2).open()
    assert own.exists() and foreign.exists() and users.exists()
    again = run(1)
    again.open()
    again.close()
    assert not own.exists() and foreign.exists() and users.exists()


def test_a_teacher_of_other_classes_is_refused_before_training(tiny, tmp_path):
    settings = {**tiny, "teacher.weights": "cifar10", "output_dir": str(tmp_path / "run")}
    says = r"RealResNet20 with weights 'cifar10' has 10 classes, the data set 2: train"
    with pytest.raises(InvalidValueError, match=says):
        configure_task(ReActNet, settings).run()
    assert not list(tmp_path.glob("run/*"))


def test_unwritable_directory_is_refused_before_training(tiny, tmp_path):
    (tmp_path / "file").write_text("")
    settings = {**tiny, "output_dir": str(tmp_path / "file" / "run")}
    with pytest.raises(RunError, match="cannot be written"):
        configure_task(ReActNet, settings).run()


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_checkpoint(tiny, tmp_path):
    settings = {
        **tiny,
        "output_dir": str(tmp_path / "run"),
        "teacher_learning_rate": 1e30,
        "teacher_epochs": 4,
    }
    with pytest.raises(RunError, match=r"NaN at step \d+ \(epoch \d\) of stage 'teacher'"):
        configure_task(ReActNet, settings).run()
    assert not (tmp_path / "run" / "1-teacher" / "result.json").exists()


def test_batch_larger_than_the_data_set_is_one_sentence(tiny, tmp_path):
    settings = {**tiny, "batch_size": 1000, "output_dir": str(tmp_path / "run")}
    with pytest.raises(InvalidValueError, match="batch_size"):
        configure_task(ReActNet, settings).run()


@pytest.mark.slow
def test_checkpoints_within_an_epoch_change_neither_the_weights_nor_whose_time_is_told(
    tiny, tmp_path, monkeypatch
):
    """With a clock that ticks once per reading, more readings mean more seconds."""
    found, weights = [], set()
    for minutes in (0, 1e6):  # a checkpoint after every call, or none within the epoch
        ticks = itertools.count()
        monkeypatch.setattr(engine.time, "monotonic", lambda ticks=ticks: float(next(ticks)))
        conf = {
            **{key: value for key, value in tiny.items() if key.startswith(("data", "prepro"))},
            "batch_size": 10,
            "epochs": 1,
            "crop_epochs": 0,
            "tensorboard": False,
            "checkpoint_minutes": minutes,
            "output_dir": tmp_path / str(minutes),
        }
        run = configure_task(BiRealNet20, conf).run()
        monkeypatch.undo()
        weights.add(run.results[0].sha256)
        with (run.directory / "1-binary" / "log.csv").open(newline="") as lines:
            (row,) = csv.DictReader(lines)
        found.append(float(row["seconds"]))
        assert float(row["images_per_second"]) * found[-1] == pytest.approx(80)
    assert len(weights) == 1
    assert found[0] > found[1] > 8  # eight calls, with one reading or more each


@pytest.mark.slow
def test_validating_less_often_changes_no_weight(tiny, tmp_path):
    found = {}
    for every in (1, 2):
        conf = {
            **{key: value for key, value in tiny.items() if key.startswith(("data", "prepro"))},
            "batch_size": 40,
            "epochs": 3,
            "validate_every": every,
            "model.width": 0.25,
            "output_dir": tmp_path / str(every),
        }
        run = configure_task(RealResNet20, conf).run()
        with (run.directory / "1-real" / "log.csv").open(newline="") as lines:
            told = [bool(row["validation_top1"]) for row in csv.DictReader(lines)]
        found[every] = told, run.results[0].sha256, run.results[0].top1
    assert found[1][0] == [True, True, True] and found[2][0] == [False, True, True]
    assert found[1][1:] == found[2][1:]
