"""Training first on the centre of images: one schedule over both stages, and the right pixels."""

import numpy as np
import pytest
import tensorflow as tf

import zoo
from training.cli import main
from training.loop.optimizers import adam
from training.loop.schedules import learning_rate
from training.loop.stage import Stage
from training.loop.step import TrainStep
from training.recipes.one_hour import OneHour
from training.recipes.reactnet import ReActNet20
from training.recipes.sdbnn import SDBNNResNet20
from training.settings.configuration import configure_task, parse_assignments
from zoo.errors import InvalidValueError

pytestmark = pytest.mark.usefixtures("small_networks")


def stages(task, *settings):
    return configure_task(task, parse_assignments(settings)).planned_stages()


@pytest.mark.parametrize(
    ("schedule", "factors"),
    [
        ("linear", 1 - np.arange(80) / 80),
        ("held", np.minimum(1, 3 - 3 * np.arange(80) / 80)),
    ],
)
def test_the_learning_rate_runs_through_both(schedule, factors):
    settings = ["dataset=Cifar10", "learning_rate=1", "epochs=2", "crop_size=24"]
    crops, whole = stages(OneHour, *settings, "crop_epochs=6", f"schedule={schedule}")
    rates = [
        learning_rate(each.schedule, each.learning_rate, step, 10, each.epochs)
        for each in (crops, whole)
        for step in range(10 * each.epochs)
    ]
    np.testing.assert_allclose(rates, factors)
    assert (crops.crop, whole.crop, whole.initialize_from) == (24, None, "binary crops")


def test_the_estimator_sharpens_through_both():
    crops, whole = stages(SDBNNResNet20, "dataset=Cifar10", "epochs=2", "crop_epochs=2")
    model = whole.build()
    sharpness = model.get_layer("layer1.0.conv1").input_quantizer.t
    found = []
    for stage in (crops, whole):
        for epoch in range(2):
            stage.each_epoch(model, epoch / 2)
            found.append(float(sharpness))
    np.testing.assert_allclose(found, [1e-3, 1e-2, 1e-1, 1])


def test_of_several_stages_the_last_is_divided():
    found = stages(ReActNet20, "dataset=Cifar10", "crop_epochs=1", "two_stages=True")
    assert [each.name for each in found] == [
        "teacher",
        "binary activations",
        "binary crops",
        "binary",
    ]
    crops = found[2]
    assert (crops.initialize_from, crops.teacher) == ("binary activations", "teacher")


@pytest.mark.slow
def test_only_the_middle_counts():
    def trained(images: np.ndarray, crop: int | None) -> list[np.ndarray]:
        tf.keras.utils.set_random_seed(0)
        model = zoo.RealResNet20(
            weights=None, width=0.25, input_shape=(None, None, 3), classifier_activation=None
        )
        step = TrainStep(Stage("real", lambda: model, 1, 4, 0.1, adam, crop=crop), model, None)
        batch = {"image": images, "label": np.arange(4), "position": np.arange(4)}
        data = tf.data.Dataset.from_tensors(
            {"image": images.astype("float32"), **{k: batch[k] for k in ("label", "position")}}
        )
        step.run(iter(data.repeat()), np.full(2, 0.1), 0)
        return model.get_weights()

    images = np.random.default_rng(0).normal(size=(4, 12, 12, 3))
    expected = trained(images[:, 2:10, 2:10], None)
    for found, wanted in zip(trained(images, 8), expected, strict=True):
        np.testing.assert_array_equal(found, wanted)
    other = trained(images, None)
    assert any(not np.array_equal(a, b) for a, b in zip(other, expected, strict=True))


def test_a_teacher_sees_the_whole_image():
    def small(shape):
        return zoo.RealResNet20(
            weights=None, width=0.25, input_shape=shape, classifier_activation=None
        )

    stage = Stage("real", lambda: small((None, None, 3)), 1, 4, 0.1, adam, crop=8, teacher="t")
    step = TrainStep(stage, stage.build(), small((12, 12, 3)))
    images = np.random.default_rng(0).normal(size=(4, 12, 12, 3)).astype("float32")
    batch = {"image": images, "label": np.arange(4), "position": np.arange(4)}
    step.run(iter(tf.data.Dataset.from_tensors(batch).repeat()), np.full(2, 0.1), 0)
    assert np.isfinite(step.totals.numpy()).all()


@pytest.mark.slow
def test_a_run_of_both_stages(tiny, tmp_path, capsys):
    settings = {k: v for k, v in tiny.items() if not k.startswith("teacher")}
    conf = {**settings, "crop_epochs": 1, "crop_size": 20, "output_dir": str(tmp_path / "run")}
    run = configure_task(OneHour, conf).run()
    assert [result.name for result in run.results] == ["binary crops", "binary"]
    assert run.results[1].inputs == {"binary crops": run.results[0].sha256}
    assert "binary crops" in capsys.readouterr().out
    assert run.model_path.exists()


@pytest.mark.parametrize(
    ("size", "says"),
    [(32, "32x32 must be smaller than .* which are 32x32"), (0, "'crop_size' must be .*1 or more")],
)
def test_a_crop_that_is_none(size, says):
    with pytest.raises(InvalidValueError, match=says):
        stages(OneHour, "dataset=Cifar10", "crop_epochs=1", f"crop_size={size}")


def test_a_network_with_weights_for_every_pixel(capsys):
    command = ["train", "XNORNetPlusPlusResNet20", "dataset=Cifar10", "crop_epochs=1"]
    assert main([*command, "--dry-run"]) == 2
    err = capsys.readouterr().err
    assert "the input's height and width must be given" in err and "crop_epochs=0" in err


def test_a_dry_run_says_so(capsys):
    assert main(["train", "OneHour", "dataset=Cifar10", "crop_epochs=3", "--dry-run"]) == 0
    assert "the central 24x24 pixels of each image" in capsys.readouterr().out
