"""`lqz evaluate` on real files: its figures compared with NumPy's, its records, its exit codes."""

import csv
import json
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import zoo
from tools import prepare_fashion_mnist as prepare
from training import cli
from training.commands.evaluate.confusion_picture import draw_confusion, side
from training.commands.evaluate.recorded_figure import Recorded, compare
from training.loop.accuracy_pass import AccuracyPass
from zoo.files import sha256
from zoo.weights.load import save_weights

pytestmark = pytest.mark.usefixtures("small_networks")

CLASSES = [f"class{label}" for label in range(7)]
PER_CLASS = 4
MEAN, STD = sum((0.485, 0.456, 0.406)) / 3, sum((0.229, 0.224, 0.225)) / 3


def figures(logits: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, float, float]:
    """Return the confusion matrix, top-1 and top-5 in percent, computed by sorting."""
    order = np.argsort(-logits, axis=1, kind="stable")
    confusion = np.zeros((logits.shape[1],) * 2, int)
    for label, predicted in zip(labels, order[:, 0], strict=True):
        confusion[label, predicted] += 1
    top5 = np.mean([label in row[:5] for label, row in zip(labels, order, strict=True)])
    return confusion, 100 * np.mean(order[:, 0] == labels), 100 * float(top5)


@pytest.fixture(scope="module")
def toy(tmp_path_factory, small_networks) -> SimpleNamespace:
    """A narrow network that predicts each class for some images, and images in class folders."""
    root = tmp_path_factory.mktemp("evaluate")
    draws = np.random.default_rng(3)
    coarse = draws.integers(0, 256, (len(CLASSES) * PER_CLASS, 7, 7)).astype(np.uint8)
    images = coarse.repeat(4, 1).repeat(4, 2)
    labels = np.arange(len(images)) // PER_CLASS
    for split in ("train", "val"):
        for number, (image, label) in enumerate(zip(images, labels, strict=True)):
            folder = root / "shapes" / split / CLASSES[label]
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(folder / f"{number:02d}.png")

    tf.keras.utils.set_random_seed(0)
    options = {"input_shape": (28, 28, 1), "num_classes": 7, "width": 0.25}
    model = zoo.RealResNet20(weights=None, classifier_activation=None, **options)
    batch = ((images[..., np.newaxis] / 255 - MEAN) / STD).astype(np.float32)
    classifier = model.get_layer("fc")
    logits = model(batch).numpy()
    classifier.bias.assign(classifier.bias - logits.mean(0))
    logits = model(batch).numpy()
    save_weights(model, root / "toy.npz")
    zoo.RealResNet20(weights=str(root / "toy.npz"), **options).save(root / "toy.keras")
    return SimpleNamespace(
        root=root, model=model, batch=batch, labels=labels, logits=logits, weights=root / "toy.npz"
    )


@pytest.fixture
def run(toy, tmp_path, monkeypatch, capfd):
    """Run `lqz evaluate` in an empty directory; return exit code, stdout and stderr.

    The settings fit the toy network. `without` removes some of them; keywords replace some
    (`dataset__data_dir=...` stands for `dataset.data_dir=...`).
    """
    monkeypatch.chdir(tmp_path)
    fitting = {
        "weights": toy.weights,
        "width": 0.25,
        "dataset": "ImageFolder",
        "dataset.data_dir": toy.root / "shapes",
        "preprocessing": "PadCropFlip",
        "preprocessing.input_shape": "(28,28,1)",
        "batch_size": 5,
    }

    def run(model="RealResNet20", *options, without=(), **replaced):
        replaced = {key.replace("__", "."): value for key, value in replaced.items()}
        settings = {key: value for key, value in fitting.items() if key not in without} | replaced
        words = [f"{key}={value}" for key, value in settings.items()]
        code = cli.main(["evaluate", model, *words, *map(str, options)])
        out, err = capfd.readouterr()
        return code, out, err

    return run


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as lines:
        return list(csv.DictReader(lines))


def test_the_oracle_has_something_to_find(toy):
    confusion, top1, top5 = figures(toy.logits, toy.labels)
    assert 0 < top1 < top5 < 100 and np.count_nonzero(confusion.sum(0)) >= 5


def test_one_pass_gives_figures_and_confusion(toy):
    data = {"image": toy.batch, "label": toy.labels.astype(np.int32)}
    data["position"] = np.arange(len(toy.labels))
    batches = tf.data.Dataset.from_tensor_slices(data).batch(6)
    steps: list[int] = []
    result, positions = AccuracyPass(toy.model).run(batches, lambda step, *_: steps.append(step))
    confusion, top1, top5 = figures(toy.logits, toy.labels)
    np.testing.assert_array_equal(result["confusion"], confusion)
    np.testing.assert_array_equal(result["confusion"].sum(1), PER_CLASS)
    np.testing.assert_array_equal(positions, np.arange(len(toy.labels)))
    assert result["top1"] == pytest.approx(top1) and result["top5"] == pytest.approx(top5)
    exponents = np.exp(toy.logits - toy.logits.max(1, keepdims=True))
    shares = exponents / exponents.sum(1, keepdims=True)
    loss = -np.log(shares[np.arange(len(toy.labels)), toy.labels]).mean()
    assert result["loss"] == pytest.approx(loss, rel=1e-5)
    assert result["images"] == 28 and steps == [1, 2, 3, 4, 5]


def test_equal_logits_are_not_all_right():
    """A network with constant outputs is as accurate as a guess."""
    image = tf.keras.Input((1,))
    model = tf.keras.Model(image, tf.keras.layers.Dense(10, kernel_initializer="zeros")(image))
    labels = np.arange(10, dtype=np.int32)
    batch = {"image": np.ones((10, 1), np.float32), "label": labels, "position": labels}
    result, _ = AccuracyPass(model).run(tf.data.Dataset.from_tensors(batch))
    assert result["top1"] == pytest.approx(10) and result["top5"] == pytest.approx(50)


def test_evaluation_is_printed_drawn_recorded_and_compared(toy, run, tmp_path):
    confusion, top1, top5 = figures(toy.logits, toy.labels)
    # click reads the next setting as the value of --record
    code, out, err = run("RealResNet20", "--record", "preprocessing.flip=False")
    assert (code, err) == (0, "")
    assert f"top-1  {top1:.2f} %\ntop-5  {top5:.2f} %\nof 28 images" in out
    for label, name in enumerate(CLASSES):
        share = f"{100 * confusion[label, label] / PER_CLASS:.2f} %"
        assert re.search(rf"^{name} +{PER_CLASS} +{share}", out, re.MULTILINE)
    assert (
        "No accuracy is recorded" in out and "Confusion matrix: confusion-RealResNet20.png" in out
    )
    with Image.open(tmp_path / "confusion-RealResNet20.png") as picture:
        assert picture.format == "PNG" and picture.size == (side(7), side(7))

    path = tmp_path / "results" / "accuracy.csv"
    (row,) = table(path)
    assert row["model"] == "RealResNet20" and row["dataset"] == "ImageFolder:shapes"
    assert (row["split"], row["images"]) == ("validation", "28")
    assert float(row["top1"]) == pytest.approx(top1, abs=1e-4)
    assert float(row["top5"]) == pytest.approx(top5, abs=1e-4)
    assert row["weights"] == "toy.npz" and row["weights_sha256"] == sha256(toy.weights)
    assert int(row["params"]) == zoo.profile(toy.model).params
    assert json.loads(row["recipe"]) == {
        "model": "RealResNet20",
        "input_shape": [28, 28, 1],
        "num_classes": 7,
        "width": 0.25,
    }
    evaluation = json.loads(row["evaluation"])
    assert evaluation["preprocessing"] == "PadCropFlip" and evaluation["preprocessing.mean"]
    assert evaluation["preprocessing.flip"] is False and "batch_size" not in evaluation
    assert row["published_top1"] == row["gap"] == row["seed"] == row["epochs"] == ""
    assert re.fullmatch(r"unknown|[0-9a-f]{40}(\+dirty)?", row["commit"])
    assert row["command"].startswith("lqz evaluate RealResNet20 ") and row["date"] >= "2025"
    assert row["tensorflow"] == tf.__version__ and row["larq"].startswith("0.")

    # The table has another figure: the new measurement contradicts it and does not replace it.
    changed = path.read_text().replace(f",{row['top1']},", f",{float(row['top1']) + 5},", 1)
    path.write_text(changed)
    code, out, _ = run("RealResNet20", "--record", path, "--tolerance", "4.9")
    assert code == 1 and f"Difference -5.00 points from the {top1 + 5:.2f} % recorded in" in out
    assert "beyond the tolerance of 4.9" in out and "Not recorded" in out
    assert path.read_text() == changed


@pytest.mark.parametrize(
    ("measured", "tolerance", "passed"),
    [
        (88.5, None, True),
        (88.51, None, False),
        (88.3, None, True),
        (88.29, None, False),
        (90.4, 2, True),
        (88.41, 0, False),
        (88.4, 0, True),
    ],
)
def test_the_tolerance_is_in_points_and_inclusive(measured, tolerance, passed, capsys):
    assert compare(measured, Recorded(88.4, "published", 0.1, False), tolerance) is passed
    allowed = 0.1 if tolerance is None else tolerance
    side = "within" if passed else "beyond"
    assert capsys.readouterr().out.endswith(f"{side} the tolerance of {allowed:g}.\n")
    assert compare(measured, None, tolerance)


def test_a_keras_file_and_an_unreadable_image(toy, run, tmp_path):
    """The file contains its network. Unreadable images are named and left out, if they are few."""
    (tmp_path / "shapes").symlink_to(toy.root / "shapes")
    bad = toy.root / "shapes" / "val" / CLASSES[6] / "99.png"
    bad.write_bytes(b"no image")
    settings = {"dataset__data_dir": tmp_path / "shapes"}
    try:
        path = str(toy.root / "toy.keras")
        own = ("weights", "width")
        code, out, err = run(path, without=own, corrupt_share=0, **settings)
        assert code == 2 and "1 of 29 images (validation) are missing, cannot be decoded or" in err
        picture = tmp_path / "some" / "picture.png"
        code, out, _ = run(path, "--picture", picture, without=own, **settings)
    finally:
        bad.unlink()
    _, top1, _ = figures(toy.logits, toy.labels)
    assert code == 0 and f"top-1  {top1:.2f} %" in out and "of 28 images" in out
    assert f"Skipped an unreadable image: {tmp_path}/shapes/val/class6/99.png" in out
    assert "RealResNet20 (toy.keras) on ImageFolder:shapes" in out and picture.is_file()


def test_the_published_figure_is_compared_and_a_gap_recorded(run, tmp_path):
    """Files in CIFAR-10's format with other images: an untrained network is far from 86.9 %."""
    images = np.random.default_rng(0).integers(0, 256, (20, 28, 28, 1)).astype(np.uint8)
    pairs = [(image, number % 10) for number, image in enumerate(images)]
    folder = prepare.write(tmp_path, {"train": iter(pairs), "test": iter(pairs[:10])})
    target = tmp_path / "cifar10" / "1.0.0"
    target.parent.mkdir()
    folder.rename(target)
    info = json.loads((target / "dataset_info.json").read_text()) | {"name": "cifar10"}
    (target / "dataset_info.json").write_text(json.dumps(info))
    for file in target.glob(f"{prepare.NAME}-*"):
        file.rename(target / file.name.replace(prepare.NAME, "cifar10"))
    image = tf.keras.Input((28, 28, 1))
    logits = tf.keras.layers.Dense(10)(tf.keras.layers.Flatten()(image))
    tf.keras.Model(image, logits, name="sdbnnresnet20").save("small.keras")

    keep = ("weights", "width", "preprocessing")
    options = {"dataset": "Cifar10", "dataset__data_dir": tmp_path}
    code, out, _ = run("small.keras", "--record", "own.csv", without=keep, **options)
    (row,) = table(tmp_path / "own.csv")
    assert code == 1 and "points from the 86.90 % published: beyond the tolerance of 0.5" in out
    assert (row["model"], row["dataset"]) == ("SDBNNResNet20", "Cifar10")
    assert row["published_top1"] == "86.9"
    assert float(row["gap"]) == pytest.approx(float(row["top1"]) - 86.9)
    assert json.loads(row["evaluation"])["preprocessing"] == "PadCropFlip"


@pytest.mark.parametrize(
    ("model", "options", "settings", "without", "text"),
    [
        ("RealResNet2", [], {}, (), "no model 'RealResNet2'; did you mean 'RealResNet20'?"),
        ("runs/none", [], {}, (), "There is no 'runs/none': give a model of `lqz list`"),
        (".", [], {}, (), "is not a run of `lqz train`: it has no config.json"),
        ("RealResNet20", [], {"weights": "none"}, (), "Random weights have no accuracy"),
        ("BiRealNet18", [], {}, ["weights", "width"], "give weights=FILE, a run directory"),
        ("RealResNet20", [], {"weights": "no.npz"}, (), "There is no weights file 'no.npz'."),
        ("RealResNet20", [], {"weights": "best"}, (), "no weights 'best' for RealResNet20"),
        ("RealResNet20", [], {"widht": 1}, (), "no key 'widht'; did you mean 'width'?"),
        ("RealResNet20", [], {"batch_size": "x"}, (), "'batch_size' must be a whole number"),
        ("RealResNet20", [], {"dataset": "Cifar"}, (), "no data set 'Cifar'; did you mean"),
        ("RealResNet20", [], {"dataset__data_dir": "."}, ["dataset"], "Data set Cifar10 is not in"),
        ("RealResNet20", [], {"dataset__data_dir": "no"}, (), "There is no folder no"),
        ("RealResNet20", [], {"num_classes": 6}, (), "another class count"),
        ("RealResNet20", ["--record", "file/x.csv"], {}, (), "'file' cannot be written"),
        ("RealResNet20", ["--record", "x.txt"], {}, (), "writes a .csv file, not 'x.txt'"),
        ("RealResNet20", ["--picture", "x.pdf"], {}, (), "writes a .png file, not 'x.pdf'"),
    ],
)
def test_mistakes_are_one_sentence(run, tmp_path, model, options, settings, without, text):
    (tmp_path / "file").write_text("")
    code, out, err = run(model, *options, without=without, **settings)
    assert code == 2 and out == "" and text in err and len(err.splitlines()) == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file"]


def test_the_packages_set_for_another_class_count_and_width(three_blocks, run):
    code, out, err = run("RealResNet20", without=["weights"])
    assert code == 2 and out == "" and len(err.splitlines()) == 1
    assert "another class count, width or input size" in err


def test_a_network_of_another_image_size_or_class_count(toy, run):
    path = str(toy.root / "toy.keras")
    own = ("weights", "width")
    code, _, err = run(path, without=own, preprocessing__input_shape="(32,32,3)")
    assert code == 2 and "toy" not in err and "set preprocessing.input_shape=(28,28,1)." in err
    code, _, err = run(path, without=(*own, "dataset.data_dir"), dataset="FashionMNIST")
    assert code == 2 and "data set FashionMNIST has 10 classes" in err


def test_weights_name_their_network(toy, run):
    """An .npz records the model of its weights and the number of classes."""
    path = str(toy.weights)
    code, _, err = run(path, without=("weights", "width"))
    assert code == 2 and "another class count, width or input size" in err
    code, out, _ = run(path, without=("weights",))
    _, top1, _ = figures(toy.logits, toy.labels)
    assert code == 0 and f"top-1  {top1:.2f} %" in out and "RealResNet20 (toy.npz) on" in out


def test_the_package_knows_the_figure_of_its_sets(toy, tmp_path, monkeypatch, capsys):
    """It is also used without a table of results, but only for the whole data set."""
    monkeypatch.chdir(tmp_path)
    from training.commands.evaluate.recorded_figure import recorded_figure
    from training.commands.evaluate.trained_network import TrainedNetwork
    from training.data import Cifar10
    from zoo.pretrained.records import find_record

    record = find_record("RealResNet20", "cifar10")
    network = TrainedNetwork("RealResNet20", toy.model, "cifar10", record.sha256, {}, record)
    for split, known in (
        ("test", Recorded(record.measured_top1, "recorded of the set 'cifar10'", 0.1, True)),
        ("test[:50%]", None),
    ):
        row = SimpleNamespace(key=None, split=split, dataset="Cifar10", published_top1=None)
        settings = SimpleNamespace(dataset=Cifar10())
        assert recorded_figure(network, settings, row, [], Path("results/accuracy.csv")) == known


def test_a_thousand_classes_fit_in_a_picture(tmp_path):
    counts = np.eye(1000, dtype=int)
    draw_confusion(counts, [str(i) for i in range(1000)], "many", tmp_path / "many.png")
    with Image.open(tmp_path / "many.png") as picture:
        assert picture.size == (1400, 1400)


@pytest.mark.filterwarnings("error")
def test_names_of_classes_are_drawn_as_they_are(tmp_path):
    names = [r"$\frac{a}$", "猫", "$5", r"a$b$\undefined"]
    draw_confusion(np.eye(4, dtype=int), names, r"runs/$\x$", tmp_path / "names.png")
    with Image.open(tmp_path / "names.png") as picture:
        assert picture.size == (side(4), side(4))
