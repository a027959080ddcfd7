"""A run records its data: other classes, numbers or files are an error that lists them."""

import json
import shutil
from types import SimpleNamespace

import pytest

from training import cli
from training.loop.data_record import DATA, differences
from training.recipes.resnet import RealResNet20
from training.settings.configuration import configure_task
from zoo.errors import RunError
from zoo.files import write_json

pytestmark = pytest.mark.usefixtures("small_networks")


@pytest.fixture(scope="module")
def trained(small_networks, image_folder, tmp_path_factory) -> SimpleNamespace:
    """A finished run of a few seconds on a copy of the tiny images."""
    root = tmp_path_factory.mktemp("recorded")
    shutil.copytree(image_folder, root / "images")
    settings = {
        "dataset": "ImageFolder",
        "dataset.data_dir": str(root / "images"),
        "preprocessing": "PadCropFlip",
        "preprocessing.input_shape": (28, 28, 1),
        "batch_size": 30,
        "epochs": 1,
        "model.width": 0.25,
        "tensorboard": False,
        "output_dir": str(root / "run"),
    }
    configure_task(RealResNet20, settings).run()
    return SimpleNamespace(root=root, settings=settings, record=(root / "run" / DATA).read_text())


@pytest.fixture
def made(trained, image_folder) -> SimpleNamespace:
    """Return that run with all its images, and a new task."""
    images, run = trained.root / "images", trained.root / "run"
    shutil.rmtree(images)
    shutil.copytree(image_folder, images)
    (run / DATA).write_text(trained.record)

    def task(**more):
        return configure_task(RealResNet20, {**trained.settings, **more})

    def again(**more):
        return task(**more).run()

    return SimpleNamespace(images=images, run=run, task=task, again=again, root=trained.root)


@pytest.fixture
def evaluate(made, monkeypatch, capfd):
    """Run `lqz evaluate` on the run; return exit code, stdout, stderr."""
    monkeypatch.chdir(made.root)

    def evaluate(*settings):
        capfd.readouterr()
        code = cli.main(["evaluate", str(made.run), *settings])
        return code, *capfd.readouterr()

    return evaluate


def rename(folder, old, new):
    for split in ("train", "validation"):
        (folder / split / old).rename(folder / split / new)


def test_the_record_and_what_differs(made, evaluate):
    record = json.loads((made.run / DATA).read_text())
    assert record["classes"] == ["shirt", "trouser"]
    assert {k: v["images"] for k, v in record["training"].items()} == {"shirt": 40, "trouser": 40}
    made.again()  # nothing differs

    # A class is renamed.
    rename(made.images, "trouser", "a-trouser")
    says = (
        r"\(class 'trouser' is missing; class 'a-trouser' is new\): give that data, or accept_other"
    )
    with pytest.raises(RunError, match=says):
        made.again()
    code, out, err = evaluate()
    assert code == 2 and out == "" and "class 'a-trouser' is new" in err and "\n" not in err.strip()

    # Both classes exist, but they are exchanged.
    rename(made.images, "shirt", "trouser")
    rename(made.images, "a-trouser", "shirt")
    with pytest.raises(RunError, match=r"training, 'shirt': other files; training, 'trouser': oth"):
        made.again()
    rename(made.images, "shirt", "a")
    rename(made.images, "trouser", "shirt")
    rename(made.images, "a", "trouser")
    made.again()

    # A third class cannot be accepted.
    for split in ("train", "validation"):
        shutil.copytree(made.images / split / "shirt", made.images / split / "coat")
    with pytest.raises(RunError, match=r"has 2 classes, these data 3 \(class 'coat' is new"):
        made.again(accept_other_data=True)
    for split in ("train", "validation"):
        shutil.rmtree(made.images / split / "coat")

    # Half of the training images are missing; evaluation does not need them.
    for path in list((made.images / "train" / "shirt").iterdir())[::2]:
        path.unlink()
    says = r"\(training, 'shirt': 40 images there, 20 here\)"
    with pytest.raises(RunError, match=says):
        made.again()
    code, out, _ = evaluate()
    assert code == 0 and "within the tolerance" in out

    # Evaluation needs the validation images.
    next((made.images / "validation" / "shirt").iterdir()).unlink()
    code, _, err = evaluate()
    assert code == 2 and "(validation, 'shirt': 20 images there, 19 here)" in err
    code, out, _ = evaluate("accept_other_data=True")
    assert code == 0 and "was validated on other images" in out
    assert "tolerance" not in out

    # From now on, the accepted data are the run's data.
    made.again(accept_other_data=True)
    made.again()


def test_other_images_that_the_command_names_need_the_same_classes(made, evaluate):
    others = made.root / "others"
    shutil.copytree(made.images, others)
    next((others / "validation" / "shirt").iterdir()).unlink()
    code, out, _ = evaluate(f"dataset.data_dir={others}")
    assert code == 0 and "was validated on other images" in out
    rename(others, "shirt", "zebra")
    code, _, err = evaluate(f"dataset.data_dir={others}")
    assert code == 2 and "class 'shirt' is missing; class 'zebra' is new" in err
    code, out, _ = evaluate(f"dataset.data_dir={others}", "accept_other_data=True")
    assert code == 0 and "top-1" in out


def test_a_run_of_before_goes_on_and_gets_a_record(made, tmp_path):
    """An old run held out images by the hash of their names; config.json does not record this."""
    flat, run = tmp_path / "flat", tmp_path / "old"
    shutil.copytree(made.images / "train", flat)
    more = {"dataset.data_dir": str(flat), "output_dir": str(run)}
    config = made.task(**more).config
    del config["dataset.split_seed"]  # this setting did not exist either
    assert "accept_other_data" not in config
    run.mkdir()
    write_json(run / "config.json", config)  # the remaining fields
    made.again(**more)
    record = json.loads((run / DATA).read_text())
    assert record["held_out"] == "by name"
    counts = {split: record[split]["shirt"]["images"] for split in ("training", "validation")}
    assert counts == {"training": 36, "validation": 4} or sum(counts.values()) == 40
    made.again(**more)


def test_differences_of_data_sets_without_counts_by_class():
    def record(images, digest="a", names=("x", "y")):
        split = {"all": {"images": images, "digest": digest}}
        return {"classes": list(names), "training": split, "validation": split}

    assert differences(record(5), record(5)) == []
    assert differences(record(5), record(4), ("training",)) == ["training: 5 images there, 4 here"]
    assert differences(record(5), record(5, "b"), ("validation",)) == ["validation: other files"]
    assert differences(record(5), record(5, names=("y", "x"))) == [
        "the classes are in a different order"
    ]
    by_class = {"x": {"images": 1, "digest": ""}, "y": {"images": 1, "digest": ""}}
    other = {"classes": ["x", "y"], "training": by_class, "validation": by_class}
    assert differences(record(5), other, ("training",)) == ["training: another kind of data set"]
