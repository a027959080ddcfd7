"""The trained weights in the package: small, linked to their runs, with unchanged predictions."""

import functools
import json
from pathlib import Path

import numpy as np
import pytest

import zoo
from tools.keep_run import MOST_BYTES, PREDICTIONS, predictions
from tools.tables import read_table
from training.commands.evaluate.accuracy_table import ACCURACY, read_rows
from training.settings import saved_config
from training.settings.configuration import configure_task
from training.settings.discovery import find_task, recipe_tasks
from training.settings.shortest_command import shortest_command
from zoo.files import sha256
from zoo.pretrained import cache
from zoo.pretrained.records import measured_top1, shipped_sets
from zoo.weights.files import is_packed

ROOT = Path(__file__).parents[2]
SHIPPED = shipped_sets()


def row_of(record):
    """Return the evaluation of the weights that a set was made from."""
    rows = read_rows(ROOT / ACCURACY)
    (row,) = [each for each in rows if each.weights_sha256.startswith(record.measured_row)]
    return row


def kernels(model):
    """Return (number of weights, bits of each) of every kernel."""
    for layer in model.layers:
        if hasattr(layer, "kernel"):
            bits = getattr(getattr(layer, "kernel_quantizer", None), "precision", 32)
            yield int(np.prod(layer.kernel.shape)), bits


@functools.cache
def network(model, name):
    """Return a network with a set; it is built once."""
    return zoo.get_model(model, weights=name)


EACH = pytest.mark.parametrize("record", SHIPPED, ids=lambda each: f"{each.model}-{each.name}")


def test_every_file_has_a_record():
    files = {(path.parent.name, path.stem) for path in cache.SHIPPED.glob("*/*.npz")}
    assert files == {(each.model, f"{each.name}.v{each.version}") for each in SHIPPED}


@EACH
def test_the_file_is_small_and_that_of_the_recorded_run(record):
    path = cache.shipped(record.model, record.name)
    assert path.stat().st_size == record.bytes <= MOST_BYTES
    assert sha256(path) == record.sha256
    assert path.name == f"{record.name}.v{record.version}.npz"
    row = row_of(record)
    assert (row.model, row.images, row.top1) == (record.model, 10_000, record.measured_top1)
    assert row.trained_by == record.recipe and row.dataset == "Cifar10"


@EACH
def test_it_is_packed_where_it_is_binary(record):
    """A packed set has one bit for each weight of the binary kernels, and no latent kernel."""
    path = cache.shipped(record.model, record.name)
    key = (record.model, record.name)
    binary = sum(weights for weights, bits in kernels(network(*key)) if bits == 1)
    assert is_packed(path) == (record.format == "packed") == (binary > 0)
    if binary:
        with np.load(path) as arrays:
            assert arrays["bits"].nbytes == (binary + 7) // 8
        latent = 4 * sum(np.prod(each.shape) for each in network(*key).weights)
        assert record.bytes < 0.07 * latent
    else:
        assert record.sha256.startswith(record.measured_row)


@EACH
def test_it_is_made_by_one_recipe_as_it_is_that_means_what_was_run(record):
    """Only the precision may be given; without it, the machine decides about it."""
    ran = saved_config.current(json.loads(row_of(record).recipe))
    program, verb, name, *settings = record.recipe.split()
    task = find_task(name, recipe_tasks())
    assert (program, verb) == ("lqz", "train") and task is not None
    assert settings in ([], ["bfloat16=True"])
    recipe = configure_task(task.load(), {"bfloat16": True} if settings else {})
    assert {**recipe.config, "task": ran["task"]} == ran
    assert shortest_command(ran) == record.recipe
    trained = [f"{each.name}={each.epochs}" for each in recipe.planned_stages()]
    assert " ".join(trained).replace("-", " ") == row_of(record).epochs.replace("-", " ")


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
    # Far better than chance on images that it was not trained on.
    right = sum(each["class"] == each["image"].partition("/")[0] for each in kept)
    assert right >= 60


def test_it_needs_no_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ZOO_HOME", str(tmp_path / "home"))
    model = zoo.get_model(SHIPPED[0].model, weights=SHIPPED[0].name)
    assert not (tmp_path / "home").exists()
    assert model.output_shape == (None, 10)


@pytest.mark.parametrize("model", dict.fromkeys(each.model for each in SHIPPED))
def test_the_best_is_the_default(model):
    (default,) = [each for each in SHIPPED if (each.model, each.name) == (model, "cifar10")]
    best = measured_top1()[model]
    assert best == max(each.measured_top1 for each in SHIPPED if each.model == model)
    assert default.measured_top1 == best
    ours, named = zoo.get_model(model), network(model, "cifar10")
    for mine, other in zip(ours.get_weights(), named.get_weights(), strict=True):
        assert (mine == other).all()
