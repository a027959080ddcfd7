"""A run that is stopped, in this process, ends with the weights of an uninterrupted run."""

import csv
import json

import numpy as np
import pytest
import tensorflow as tf

import zoo
from training.loop.checkpoint import variable_names
from training.loop.distribution.workers import alone
from training.loop.optimizers import adam
from training.loop.run import Run
from training.loop.stage import Stage
from training.loop.stage_trainer import Interrupted, StopFlag
from training.loop.step import TrainStep
from training.recipes.one_hour import OneHour
from training.settings.configuration import configure_task
from zoo.models._resnet import CifarResNet20
from zoo.weights import save_weights

pytestmark = pytest.mark.usefixtures("small_networks")

# What changes from step to step. Kill tests also accumulate gradients, which is over in one step.
MOVING = {"ema": 0.9, "gradient_clip": 1.0, "warmup_epochs": 1}


class After(StopFlag):
    """Ask for a stop after a number of checks: one per call of the step, one per epoch."""

    def __init__(self, looks: int):
        self.left = looks

    @property
    def requested(self) -> bool:
        self.left -= 1
        return self.left < 0


@pytest.fixture
def recipe(tiny, tmp_path, monkeypatch):
    """An untrained teacher, a stage on crops and one on whole images, from a cache on disk."""
    monkeypatch.setattr(CifarResNet20, "filters", (16,))  # one group: the loop matters here
    teacher = zoo.RealResNet20(weights=None, width=0.125, num_classes=2, input_shape=(28, 28, 1))
    save_weights(teacher, tmp_path / "teacher.npz")
    settings = {
        **{key: value for key, value in tiny.items() if key.startswith(("data", "prepro"))},
        **MOVING,
        "model": "BiRealNet20",
        "teacher": "RealResNet20",
        "teacher.width": 0.125,
        "teacher.weights": str(tmp_path / "teacher.npz"),
        "batch_size": 40,
        "crop_epochs": 1,
        "crop_size": 20,
        "epochs": 1,
        "tensorboard": False,
        "cache": "disk",
    }
    return lambda name: configure_task(
        OneHour,
        {**settings, "cache_dir": tmp_path / f"{name} cache", "output_dir": tmp_path / name},
    )


def left_by(run):
    """Return the weights by stage, and the columns of the logs that do not depend on the clock."""
    weights = {result.name: result.sha256 for result in run.results}
    logs = {}
    for path in sorted(run.directory.glob("*/log.csv")):
        with path.open(newline="") as lines:
            logs[path.parent.name] = [list(row.values())[:7] for row in csv.DictReader(lines)]
    return weights, logs


def test_a_stopped_run_ends_as_one_that_was_not(recipe, capsys):
    expected = left_by(recipe("whole").run())
    # An epoch has two steps, so three checks. Stop once in the middle of each of the two epochs.
    for looks in (0, 2):
        with pytest.raises(Interrupted):
            Run(recipe("parts").plan(), alone(), After(looks)).run()
    run = Run(recipe("parts").plan(), alone()).run()
    printed = capsys.readouterr().out
    assert "Continuing stage 'binary crops' after step 1." in printed
    assert "Continuing stage 'binary' after step 1." in printed
    assert left_by(run) == expected
    assert list(expected[0]) == ["teacher", "binary crops", "binary"]
    result = json.loads((run.directory / "3-binary" / "result.json").read_text())
    assert result["ema"] == 0.9 and "average with decay 0.9" in printed


# --- the settings, one by one ---------------------------------------------------------------------


def small():
    return zoo.RealResNet20(
        weights=None, width=0.125, input_shape=(12, 12, 3), classifier_activation=None
    )


def trained(steps: int = 3, rate: float = 1e-2, **settings) -> TrainStep:
    tf.keras.utils.set_random_seed(0)
    model = small()
    step = TrainStep(Stage("real", small, 3, 8, rate, adam, **settings), model, None)
    images = np.random.default_rng(0).normal(size=(8, 12, 12, 3)).astype("float32")
    batch = {"image": images, "label": np.arange(8) % 4, "position": np.arange(8)}
    for i in range(steps):
        step.run(iter(tf.data.Dataset.from_tensors(batch)), np.array([rate]), i)
    return step


def test_averages_follow_the_weights_and_are_lent_to_the_model():
    step = trained(steps=0, ema=0.5)
    start = [v.numpy() for v in step.averaged]
    expected, model = start, step.model
    images = np.random.default_rng(0).normal(size=(8, 12, 12, 3)).astype("float32")
    batch = {"image": images, "label": np.arange(8) % 4, "position": np.arange(8)}
    for i in range(8):
        step.run(iter(tf.data.Dataset.from_tensors(batch)), np.array([0.01]), i)
        decay = min(0.5, (2 + i) / (11 + i))
        now = [v.numpy() for v in step.averaged]
        expected = [decay * e + (1 - decay) * n for e, n in zip(expected, now, strict=True)]
    for found, wanted in zip(step.averages, expected, strict=True):
        np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-4, atol=1e-5)
    own = model.get_weights()
    with step.averages_in_use():
        np.testing.assert_array_equal(model.get_weights()[0], step.averages[0].numpy())
    for found, wanted in zip(model.get_weights(), own, strict=True):
        np.testing.assert_array_equal(found, wanted)
    step.use_averages()
    np.testing.assert_array_equal(model.get_weights()[0], step.averages[0].numpy())


def gradients(step: TrainStep, frozen: bool = True):
    images = tf.random.stateless_normal((8, 12, 12, 3), (1, 2))
    for layer in step.model.layers:  # without batch norm's statistics: it uses each part separately
        if isinstance(layer, tf.keras.layers.BatchNormalization):
            layer.trainable = not frozen
    return step._gradients(images, images, tf.range(8) % 4)


def test_accumulated_gradients_are_those_of_the_whole_batch():
    whole, parts = trained(steps=0), trained(steps=0, accumulate=4)
    sums, expected = gradients(whole)
    more, found = gradients(parts)
    np.testing.assert_allclose(more, sums, rtol=1e-6)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-6)


def test_gradients_are_clipped_by_their_norm_before_the_decay():
    def moved(clip: float) -> float:
        """Return the step length of plain SGD at rate 1, which is the norm of its gradient."""
        step = trained(steps=0, gradient_clip=clip)
        step.optimizer = tf.keras.optimizers.legacy.SGD(1.0)
        before = [v.numpy() for v in step.trainable]
        step._update([tf.ones_like(v) for v in step.trainable])
        after = [v.numpy() for v in step.trainable]
        return float(np.sqrt(sum(((b - a) ** 2).sum() for b, a in zip(before, after, strict=True))))

    free = moved(0.0)
    assert moved(0.5) == pytest.approx(0.5, rel=1e-4)
    assert moved(2 * free) == pytest.approx(free, rel=1e-4)


def test_warm_up_rises_to_the_schedule():
    stage = Stage("real", small, 10, 8, 1.0, adam, warmup_epochs=2)
    rates = [stage.rate(step, 4) for step in range(40)]
    linear = [1 - (step // 4) / 10 for step in range(40)]
    np.testing.assert_allclose(rates[:8], [(i + 1) / 8 * linear[i] for i in range(8)])
    assert rates[8:] == linear[8:]


def test_names_in_a_checkpoint_are_the_same_in_every_process():
    def network():
        image = tf.keras.Input((4, 4, 3))
        x = tf.keras.layers.Conv2D(2, 1)(image)
        x = tf.keras.layers.Conv2D(2, 1, name="own")(x)
        return tf.keras.Model(image, tf.keras.layers.Conv2D(2, 1)(x))

    first, second = network(), network()  # Keras continues its count
    assert first.weights[0].name != second.weights[0].name
    names = variable_names(second)
    assert names == variable_names(first) and len(set(names)) == len(names)
    assert names[2:4] == ["own/kernel", "own/bias"]
    keys = list(trained(steps=0, ema=0.5).variables())
    assert "model/layer1.0.conv1/kernel" in keys and "average/layer1.0.conv1/kernel" in keys
    assert "optimizer/m/layer1.0.conv1/kernel" in keys and "optimizer/iterations" in keys


def test_a_checkpoint_by_position_is_read():
    step = trained(steps=2)
    named = {key: variable.numpy() for key, variable in step.variables().items()}
    weights, slots = step.model.weights, step.optimizer.variables()
    numbered = {f"model/{i}": v.numpy() for i, v in enumerate(weights)}
    numbered |= {f"optimizer/{i}": v.numpy() for i, v in enumerate(slots)}
    numbered |= {key: named[key] for key in ("totals", "position")}
    found = step.by_name(numbered)
    assert found.keys() == named.keys()
    for key, value in named.items():
        np.testing.assert_array_equal(found[key], value, err_msg=key)
