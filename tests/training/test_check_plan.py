"""Runs and dry runs refuse what cannot be trained before the first step."""

import numpy as np
import pytest
import tensorflow as tf

from training.cli import main
from training.loop.losses import cross_entropy
from training.loop.memory import Memory, check_memory, machine_memory
from training.settings.configuration import configure_task, parse_assignments
from training.settings.discovery import recipe_tasks
from zoo.errors import InvalidValueError, ZooError

RECIPE = {info.name: info for info in recipe_tasks()}["RealResNet20"].load()


@pytest.fixture(scope="module")
def small(tiny) -> dict:
    """Return settings of `lqz train RealResNet20` on 80 images."""
    own = {k: v for k, v in tiny.items() if k.startswith(("dataset", "preprocessing"))}
    return {**own, "model.width": 0.25, "batch_size": 16, "epochs": 1, "tensorboard": False}


def words(settings: dict) -> list[str]:
    return [f"{key}={value}" for key, value in settings.items()]


LIMITS = [
    ({"learning_rate": -1}, "'learning_rate' must be a number, 0 or more, not -1."),
    ({"learning_rate": "nan"}, "'learning_rate' must be a number, 0 or more, not 'nan'."),
    ({"learning_rate": "1e999"}, "'learning_rate' must be a number, 0 or more, not inf."),
    ({"epochs": -1}, "'epochs' must be a whole number, 0 or more, not -1."),
    ({"first_stage_epochs": -1}, "'first_stage_epochs' must be a whole number, 0 or more, or None"),
    ({"batch_size": 0}, "'batch_size' must be a whole number, 1 or more, not 0."),
    ({"schedule_every": "stp"}, "There is no schedule_every 'stp'; did you mean 'step'?"),
    ({"momentum": 1.5}, "'momentum' must be a number, 0 or more and below 1, not 1.5."),
    ({"divide_at": "(0.5,2)"}, "'divide_at' must be a list of numbers, above 0 and below 1, not"),
    ({"seed": 2**31}, "'seed' must be a whole number, 0 or more and below 2147483648, not"),
    ({"validate_every": 0}, "'validate_every' must be a whole number, 1 or more, not 0."),
    ({"checkpoint_minutes": -1}, "'checkpoint_minutes' must be a number, 0 or more, not -1."),
    ({"dataset.validation_share": 1}, "'dataset.validation_share' must be a number, above 0 and"),
    ({"preprocessing.padding": -1}, "'preprocessing.padding' must be a whole number, 0 or more"),
    ({"model.width": 0}, "'model.width' must be a number, above 0, not 0."),
    ({"cache": "disc"}, "There is no cache 'disc'; did you mean 'disk'?"),
    ({"schedule": "hold"}, "There is no schedule 'hold'; did you mean 'held'?"),
    ({"strategy": "foo"}, "There is no strategy 'foo'."),
]
WITH_TEACHER = {"teacher": "RealResNet20", "teacher.width": 0.25, "teacher_epochs": 1}
TOGETHER = [
    ({"accumulate": 3}, "accumulate=3 does not divide a batch of 16 images into equal parts"),
    ({"batch_size": 81}, "A batch of 81 is larger than the 80 training images: give batch_size=4"),
    ({"warmup_epochs": 5}, "A warm-up of 5 epochs must not exceed the 1 epochs"),
    ({"crop_epochs": 1, "crop_size": 28}, "Crops of 28x28 must be smaller than the images, which"),
    ({"first_sharpness": 20}, "A sharpness must start"),
    ({"dataset.train_split": "foo"}, "no split"),
    ({"dataset.data_dir": "nowhere"}, "There is no folder nowhere"),
    ({"preprocessing.input_shape": "(32,32,3)"}, "Images of 28x28x3 do not have the size that"),
    ({"model.num_classes": 7}, "The model has 7 classes, but the data set has 2: give"),
    ({"model.include_top": False}, "The model ends with a feature map of 7x7x16 and has no"),
    ({"model.input_shape": "(32,32,1)"}, "The model takes images of 32x32x1, but they are"),
    ({"model.width": 0.001}, "width=0.001 leaves no channels"),
    ({"model.weights": "nofile.npz"}, "There is no weights file 'nofile.npz'."),
    ({**WITH_TEACHER, "teacher.num_classes": 5}, "The teacher has 5 classes, but the data"),
    ({**WITH_TEACHER, "teacher.input_shape": "(28,28,3)"}, "The teacher takes images of 28x28x3"),
    ({**WITH_TEACHER, "teacher.weights": "no.npz"}, "There is no weights file 'no.npz'."),
    ({**WITH_TEACHER, "teacher.weights": "foo"}, "There are no weights 'foo' for RealResNet20"),
    ({**WITH_TEACHER, "teacher.weights": "cifar10"}, "has 10 classes"),
    ({"initialize_from": "nofile.npz"}, "There is no weights file 'nofile.npz'."),
    ({"initialize_from": "foo"}, "give None for random weights, or a file"),
    ({"initialize_from": "cifar10"}, "do not fit"),  # of another width
    ({"data_service": "foo"}, "data_service='foo' must be the address of a dispatcher"),
    ({"data_service": "grpc://localhost:1"}, "No data service answers at grpc://localhost:1"),
    ({"cache": "disk"}, "cache=disk needs cache_dir=FOLDER"),
    ({"cache": "disk", "cache_dir": __file__}, "is a file"),
    ({"output_dir": f"{__file__}/run"}, "cannot be written"),
    ({"output_dir": "x" * 300}, "File name too long"),
    ({"strategy": "multi_worker"}, "strategy=multi_worker needs the addresses of all workers"),
]


@pytest.mark.parametrize(("changes", "says"), [*LIMITS, *TOGETHER])
def test_a_run_and_its_dry_run_say_the_same(changes, says, small, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    command = ["train", "RealResNet20", *words({**small, **changes})]
    errors = []
    for more in (["--dry-run"], []):
        assert main([*command, *more]) == 2
        errors.append(capsys.readouterr().err)
    assert says in errors[0] and errors[0] == errors[1] and errors[0].count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_batch_that_the_machine_has_no_memory_for(small, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    changes = {
        "preprocessing": "RandomResizedCropFlip",
        "preprocessing.lighting": 0,
        "preprocessing.input_shape": "(4096,4096,1)",
        "batch_size": 64,
    }
    settings = {k: v for k, v in small.items() if k != "preprocessing.padding"}
    assert main(["train", "RealResNet20", *words({**settings, **changes})]) == 2
    err = capsys.readouterr().err
    assert "Training on batches of 64 images takes about" in err and "accumulate=" in err
    assert not list(tmp_path.iterdir())


def test_the_batch_that_is_offered_fits():
    total, available = machine_memory()
    assert 0 < available <= total
    image = total // 100
    stage = Memory(weights=2**20, outputs=image, kept=image, images=256, parts=1, disk=0)
    with pytest.raises(InvalidValueError, match=r"batch_size=32 fits, or accumulate=8 for the sa"):
        check_memory([stage])
    assert stage.fitting(total) in (32, 64)
    small = Memory(weights=2**20, outputs=1, kept=1, images=32, parts=1, disk=0)
    assert check_memory([small]) == []


def test_few_steps_and_images_left_out_are_said(small, capsys):
    assert main(["train", "RealResNet20", "--dry-run", *words({**small, "batch_size": 64})]) == 0
    out = capsys.readouterr().out
    assert "An epoch has one step, of 64 of the 80 training images: batch_size=4 gives 20." in out
    assert "leaves out         16 images of each epoch, different ones each time" in out


def test_a_dry_run_looks_at_the_run_that_is_there(small, tmp_path, capsys):
    place = {"output_dir": str(tmp_path / "run")}
    task = configure_task(RECIPE, parse_assignments(words({**small, **place, "cache": "none"})))
    task.train(FirstBatch())
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    for changes, says in (
        ({"epochs": 3}, "belongs to a different recipe (epochs: 1 there, 3 here)"),
        ({"cache": "memory"}, "began with cache=none, and cache=memory has a different order"),
    ):
        command = ["train", "RealResNet20", *words({**small, **place, **changes})]
        for more in (["--dry-run"], []):
            assert main([*command, *more]) == 2
            assert says in capsys.readouterr().err
    after = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert after == before


class FirstBatch:
    """A stand-in for training: everything before the first step, and its forward pass."""

    def write(self, trainer, *, digest, index, name) -> str:
        batch = next(iter(trainer.pipeline.train(0, steps=1)))
        image = batch["image"]
        if size := trainer.stage.crop:
            image = tf.image.resize_with_crop_or_pad(image, size, size)
        loss = cross_entropy(trainer.step.model(image), batch["label"], 0.0)
        assert np.isfinite(loss).all() and trainer.stage.rate(0, trainer.steps_per_epoch) > 0
        return "started"


# A field's valid and invalid values (some are invalid only with other settings).
DRAWN = {
    "epochs": ([1, 2], [0, -1]),
    "batch_size": ([8, 40, 80], [0, 81]),
    "accumulate": ([1, 2], [0, 3]),
    "learning_rate": ([0.1, 1e-9, 0], [-1, "inf"]),
    "optimizer": (["adam", "sgd"], ["lamb"]),
    "momentum": ([0, 0.9], [1, -0.1]),
    "schedule": (["held", "steps", "constant"], ["hold"]),
    "divide_every": ([0, 1], [-1]),
    "warmup_epochs": ([0, 0.5, 2], [-1, 9]),
    "ema": ([0, 0.9], [1]),
    "decayed": (["all", "convolutions"], ["none"]),
    "crop_epochs": ([0, 1], [-1]),
    "crop_size": ([20], [28, 0]),
    "seed": ([0, 7], [-1]),
    "cache": (["auto", "memory", "none"], ["disk", "disc"]),
    "corrupt_share": ([0, 0.5], [1]),
    "dataset.validation_split": (["validation"], ["foo"]),
    "preprocessing.input_shape": (["(28,28,1)", "(28,28,3)"], ["(28,28,2)", "(32,32,1)"]),
    "preprocessing.mean": (["(0.5,)"], ["(0.5,0.5)"]),
    "model.width": ([0.125, 0.25], [0, 0.001]),
    "model.num_classes": ([2], [3, 0]),
    "model.input_shape": (["(28,28,1)", "(None,None,1)"], ["(32,32,1)", "(28,28)"]),
    "model.classifier_activation": (["softmax", None], []),
    "model.weights": ([None], ["cifar10", "nowhere.npz"]),
    "initialize_from": ([None], ["foo", "nowhere.npz"]),
    "data_service": ([None], ["foo", "grpc://localhost:1"]),
}


@pytest.mark.parametrize(
    ("seed", "draws"), [(0, 5), pytest.param(2026, 20, marks=pytest.mark.slow)]
)
def test_what_a_dry_run_accepts_a_run_accepts(seed, draws, small, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    draw = np.random.Generator(np.random.Philox(seed))
    verdicts = []
    for number in range(draws):
        changes = {}
        for key in draw.choice(sorted(DRAWN), size=4, replace=False):
            good, bad = DRAWN[key]
            values = bad if bad and draw.random() < 0.15 else good
            changes[str(key)] = values[draw.integers(len(values))]
        given = words({**small, **changes, "output_dir": f"run{number}"})
        dry = main(["train", "RealResNet20", "--dry-run", *given])
        said = capsys.readouterr().err
        assert not (tmp_path / f"run{number}").exists()
        try:
            configure_task(RECIPE, parse_assignments(given)).train(FirstBatch())
            run, found = 0, ""
        except ZooError as error:
            run, found = 2, f"Error: {error}\n"
        assert (dry, said) == (run, found), changes
        assert (tmp_path / f"run{number}").exists() == (run == 0), changes
        verdicts.append(dry)
    assert 0 in verdicts and 2 in verdicts
