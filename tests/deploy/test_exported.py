"""Exports measured by `lqz evaluate`, and used by `lqz predict` and in Python."""

import csv
import json
import re
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import zoo
from tools.document_tables.trained import NO_EXPORTS, exports
from training import cli
from training.commands.evaluate.accuracy_table import rows_of, write_row
from training.commands.evaluate.export_table import ExportRow
from zoo.card import NetworkCard
from zoo.deploy import load_export
from zoo.deploy.card import ExportCard, kind_of, read_card
from zoo.layers import SymmetricConv2D
from zoo.pretrained.records import ImagePreprocessing
from zoo.saved import save_network

pytestmark = pytest.mark.usefixtures("hasty_cc")
keras = tf.keras.layers
CLASSES = ["ant", "bee", "tall cat"]
MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.3, 0.4)
SIZE, PER_CLASS = 8, 5
FORMATS = {
    "c": "c",
    "openvino": "openvino",
    "onnx": "model.onnx",
    "tflite": "model.tflite",
    "lce": "lce.tflite",
    "saved_model": "saved",
}
PROGRAMS = ("c", "saved_model")


def small_network(seed: int = 1) -> tf.keras.Model:
    """A float and a binary convolution, and a classifier."""
    image = tf.keras.Input((SIZE, SIZE, 3))
    y = keras.BatchNormalization()(keras.Conv2D(16, 3, padding="same", use_bias=False)(image))
    signs = {"input_quantizer": "ste_sign", "kernel_quantizer": "ste_sign"}
    y = keras.BatchNormalization()(SymmetricConv2D(16, 3, use_bias=False, **signs)(y))
    y = keras.Dense(len(CLASSES))(keras.GlobalAveragePooling2D()(y))
    model = tf.keras.Model(image, keras.Activation("softmax")(y), name="small")
    draws = np.random.default_rng(seed)
    for weight in model.weights:
        values = draws.normal(size=weight.shape)
        weight.assign(np.abs(values) + 0.1 if "variance" in weight.name else values)
    return model


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A network in a file, images in class folders, and Keras's outputs for them."""
    root = tmp_path_factory.mktemp("small")
    draws = np.random.default_rng(0)
    images = draws.integers(0, 256, (len(CLASSES) * PER_CLASS, SIZE, SIZE, 3), np.uint8)
    labels = np.arange(len(images)) // PER_CLASS
    for split in ("train", "val"):
        for number, (image, label) in enumerate(zip(images, labels, strict=True)):
            folder = root / "photos" / split / CLASSES[label]
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(folder / f"{number:02d}.png")
    how = ImagePreprocessing("own", None, SIZE, MEAN, STD)
    card = NetworkCard(tuple((name, name) for name in CLASSES), how, "ImageFolder")
    model = small_network()
    save_network(model, root / "small.keras", card)
    save_network(small_network(seed=2), root / "other.keras", card)
    batch = ((images / np.float32(255) - np.float32(MEAN)) / np.float32(STD)).astype(np.float32)
    settings = [
        "dataset=ImageFolder",
        f"dataset.data_dir={root / 'photos'}",
        "preprocessing=PadCropFlip",
        f"preprocessing.input_shape=({SIZE},{SIZE},3)",
        f"preprocessing.mean={MEAN}",
        f"preprocessing.std={STD}",
        "batch_size=4",
    ]
    return SimpleNamespace(
        root=root,
        model=model,
        batch=batch,
        images=images,
        labels=labels,
        settings=settings,
        keras=root / "small.keras",
        other=root / "other.keras",
        scores=model(batch).numpy(),
    )


@pytest.fixture(scope="module", params=FORMATS)
def exported(request, small, hasty_cc):
    """An export in one of the formats: its kind and its path."""
    path = small.root / FORMATS[request.param]
    words = ["export", str(small.keras), "--format", request.param, "-o", str(path)]
    assert cli.main(words) == 0
    return request.param, path


def trust(kind):
    return ["--trust-program"] if kind in PROGRAMS else []


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_an_export_is_measured_used_and_says_what_it_is(exported, small, lqz, tmp_path):
    kind, path = exported
    card = read_card(path, kind_of(path))
    assert card.network == "small" and card.weights == "small.keras" and not card.set_name
    assert card.card.names == CLASSES and card.card.preprocessing.mean == MEAN
    # In Python, the number of images is free, also 0.
    runner = load_export(path, trusted=True)
    found = runner(small.batch)
    if kind == "c":  # which gives logits
        found = tf.nn.softmax(found).numpy()
    np.testing.assert_allclose(found, small.scores, atol=1e-5)
    assert runner(small.batch[:0]).shape == (0, len(CLASSES))
    # Measured beside Keras.
    record = ["--record", "rows.csv", "--against", small.keras, *trust(kind)]
    code, out, err = lqz("evaluate", path, *small.settings, *record)
    assert (code, err) == (0, ""), err
    top1 = 100 * np.mean(small.scores.argmax(-1) == small.labels)
    share = re.escape(f"{top1:.2f} %")
    assert re.search(rf"^top-1 +{share} +{share}$", out, re.MULTILINE), out
    assert "0 of 15 images have a different class (0 %): within the tolerance of 0.2 %." in out
    (row,) = rows(tmp_path / "rows.csv")
    assert row["format"] == kind and row["images"] == "15" and row["changed"] == "0"
    assert float(row["top1"]) == float(row["keras_top1"]) == pytest.approx(top1, abs=1e-4)
    assert row["figures"] == ("logits" if kind == "c" else "probabilities")
    assert float(row["difference"]) < 1e-4 and row["margin"] == ""
    assert int(row["bytes"]) == sum(
        each.stat().st_size
        for each in ([path] if path.is_file() else path.rglob("*"))
        if each.is_file()
    )
    # Used without Keras: the export contains its classes and its preprocessing.
    image = small.root / "photos" / "val" / "bee" / "07.png"
    assert lqz("predict", path, image, *trust(kind)) == lqz("predict", small.keras, image)


@pytest.mark.parametrize("exported", ["onnx"], indirect=True)
def test_another_network_gives_other_classes(exported, small, lqz, tmp_path):
    kind, path = exported
    (tmp_path / "results").mkdir()
    command = ["evaluate", path, *small.settings, "--against", small.other]
    code, out, err = lqz(*command, "--record")
    assert (code, err) == (1, "")
    theirs = zoo.load_model(small.other, compile=False)(small.batch).numpy().argmax(-1)
    ours = small.scores.argmax(-1)
    changed = np.flatnonzero(theirs != ours)
    assert 0 < len(changed) < 15
    assert "The export was made from other weights (small.keras, sha256 " in out
    assert f"{len(changed)} of 15 images have a different class" in out and "beyond the tol" in out
    listed = re.findall(r"^ +(\d+)  (.+?\.png)  (.+?)  +\S.*  +([\d.e+-]+)$", out, re.MULTILINE)
    assert sorted(int(each[0]) for each in listed) == changed.tolist()
    assert all(f"{int(position):02d}.png" in name for position, name, *_ in listed)
    margins = [float(each[-1]) for each in listed]
    assert margins == sorted(margins, reverse=True) and min(margins) >= 0
    (row,) = rows(tmp_path / "results" / "exports.csv")
    assert [each[:3] for each in json.loads(row["changed_images"])] == [
        [int(i), int(theirs[i]), int(ours[i])] for i in changed
    ]
    assert float(row["margin"]) == pytest.approx(max(margins), rel=0.1)
    assert lqz(*command, "--tolerance", "100")[0] == 0
    # The table in the documentation is made from such a file.
    table = exports(tmp_path / "results" / "exports.csv").splitlines()
    assert re.search(rf"\| {len(changed)} \| ", table[2]) and f"| {kind} |" in table[2]
    assert exports(tmp_path / "none.csv") == NO_EXPORTS
    # A new version of a published set replaces the former one, another set stands beside it.
    [own] = rows_of(tmp_path / "results" / "exports.csv", ExportRow)
    for weights in ("cifar10: cifar10.v1.npz", "cifar10-hour: a.npz", "cifar10: cifar10.v2.npz"):
        write_row(tmp_path / "sets.csv", replace(own, weights=weights, weights_sha256=weights))
    left = [row.weights for row in rows_of(tmp_path / "sets.csv", ExportRow)]
    assert left == ["cifar10: cifar10.v2.npz", "cifar10-hour: a.npz"]


def test_bytes_in_batches_of_a_fixed_size(small, lqz, tmp_path):
    """15 images in three batches of 4 and one of 3, for a network that takes 2 at a time."""
    options = ["--format", "openvino", "--preprocess", "--batch", "2", "-o", "ov"]
    assert lqz("export", small.keras, *options)[0] == 0
    runner = load_export(tmp_path / "ov" / "model.xml")
    assert runner.batch == 2 and runner.pixels
    np.testing.assert_allclose(runner(small.images), small.scores, atol=1e-5)
    code, out, _ = lqz("evaluate", "ov", *small.settings, "--against", small.keras)
    assert code == 0 and "0 of 15 images have a different class" in out
    image = small.root / "photos" / "val" / "ant" / "01.png"
    assert lqz("predict", "ov", image) == lqz("predict", small.keras, image)


def test_a_set_is_found_by_its_name(capfd, tmp_path, monkeypatch):
    """Weights of the package: the user does not name the network that was exported."""
    monkeypatch.chdir(tmp_path)
    draws = np.random.default_rng(0)
    for split in ("train", "val"):
        for label in range(10):
            (tmp_path / "photos" / split / f"class {label}").mkdir(parents=True)
            pixels = draws.integers(0, 256, (32, 32, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / f"photos/{split}/class {label}/0.png")
    assert cli.main(["export", "ReActNet20/cifar10-hour", "--format", "openvino", "-o", "x"]) == 0
    card = read_card(tmp_path / "x", "openvino")
    assert (card.network, card.set_name) == ("ReActNet20", "cifar10-hour")
    settings = [
        "dataset=ImageFolder",
        "dataset.data_dir=photos",
        "preprocessing=PadCropFlip",
        "preprocessing.input_shape=(32,32,3)",
    ]
    capfd.readouterr()
    code = cli.main(["evaluate", "x", *settings, "--tolerance", "10"])
    out, err = capfd.readouterr()
    assert (code, err) == (0, "")
    assert "beside ReActNet20 (cifar10-hour: " in out and "of 10 images" in out
    # If the set has another file now, it is not the network that was exported.
    text = (tmp_path / "x" / "card.json").read_text()
    (tmp_path / "x" / "card.json").write_text(text.replace(card.sha256, "0" * 64))
    assert cli.main(["evaluate", "x", *settings]) == 2
    assert "other weights" in capfd.readouterr().err


def test_the_card_holds_what_is_put_in():
    card = ExportCard("A", "b", "c.npz", "0" * 64, NetworkCard(arguments={"width": 0.5}))
    assert json.loads(card.text())["card"]["arguments"] == {"width": 0.5}
