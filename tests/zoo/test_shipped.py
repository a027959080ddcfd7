"""The trained weights in the package: small, tied to their runs, and they say what they said."""

import json
from pathlib import Path

import pytest

import zoo
from benchmarks.keep_run import MOST_BYTES, PREDICTIONS, predictions
from benchmarks.tables import read_table
from training.results import ACCURACY, read_rows
from training.shortest_command import shortest_command
from zoo.files import sha256
from zoo.pretrained import cache
from zoo.pretrained.records import all_records, measured_top1

ROOT = Path(__file__).parents[2]
SHIPPED = [each for each in all_records() if each.access == "shipped"]
EACH = pytest.mark.parametrize("record", SHIPPED, ids=lambda each: f"{each.model}-{each.name}")


def test_every_file_has_a_record():
    files = {(path.parent.name, path.stem) for path in cache.SHIPPED.glob("*/*.npz")}
    assert files == {(each.model, each.name) for each in SHIPPED}


@EACH
def test_the_file_is_small_and_that_of_the_recorded_run(record):
    path = cache.shipped(record.model, record.name)
    assert path.stat().st_size == record.bytes <= MOST_BYTES
    assert sha256(path) == record.sha256
    (row,) = [each for each in read_rows(ROOT / ACCURACY) if each.weights_sha256 == record.sha256]
    assert record.measured_row == record.sha256[:8]
    assert (row.model, row.images, row.top1) == (record.model, 10_000, record.measured_top1)
    assert row.trained_by == record.recipe and "dataset=Cifar10" in row.trained_by


@EACH
def test_its_command_still_means_what_was_run(record):
    (row,) = [each for each in read_rows(ROOT / ACCURACY) if each.weights_sha256 == record.sha256]
    assert shortest_command(json.loads(row.recipe)) == record.recipe


@EACH
def test_it_says_of_real_test_images_what_was_recorded(record):
    key = (record.model, record.name)
    kept = [each for each in read_table(PREDICTIONS) if (each["model"], each["set"]) == key]
    assert len(kept) == 100
    found = predictions(*key)
    assert [(each["image"], each["class"]) for each in found] == [
        (each["image"], each["class"]) for each in kept
    ]
    for ours, theirs in zip(found, kept, strict=True):
        assert float(ours["score"]) == pytest.approx(float(theirs["score"]), abs=2e-6)
    # Far from chance on what it never saw.
    right = sum(each["class"] == each["image"].partition("/")[0] for each in kept)
    assert right >= 60


@EACH
def test_it_needs_no_cache(record, tmp_path, monkeypatch):
    monkeypatch.setenv("ZOO_HOME", str(tmp_path / "home"))
    model = zoo.get_model(record.model, weights=record.name)
    assert not (tmp_path / "home").exists()
    assert model.output_shape == (None, 10)


@pytest.mark.parametrize("model", dict.fromkeys(each.model for each in SHIPPED))
def test_the_best_is_the_default(model):
    (default,) = [each for each in SHIPPED if (each.model, each.name) == (model, "cifar10")]
    best = measured_top1()[model]
    assert best == max(each.measured_top1 for each in SHIPPED if each.model == model)
    assert default.measured_top1 == best
    ours, named = (zoo.get_model(model, **chosen) for chosen in ({}, {"weights": "cifar10"}))
    for mine, other in zip(ours.get_weights(), named.get_weights(), strict=True):
        assert (mine == other).all()
