"""`lqz export` of a small network: its files, what it prints, and the outputs of the export."""

import re

import numpy as np
import pytest
import tensorflow as tf
from case import images, randomize
from networks import relative

import zoo
from training import cli
from training.commands.benchmark.worker import RUNTIMES
from zoo.deploy import count_binary_convolutions
from zoo.weights import save_weights

pytestmark = pytest.mark.usefixtures("small_networks")

EXPORTED, CONVOLUTIONS = "ReActNet20", 4


@pytest.fixture(scope="module")
def trained(tmp_path_factory, small_networks):
    """A network with weights, and their file."""
    folder = tmp_path_factory.mktemp("weights")
    model = randomize(zoo.get_model(EXPORTED, weights=None))
    save_weights(model, folder / "weights.npz")
    return model, folder / "weights.npz"


@pytest.fixture
def export(trained, tmp_path, capfd):
    """Run `lqz export`; return the path, the printed text, and a batch with its outputs."""
    model, weights = trained

    def export(kind, name, *options):
        words = ["export", EXPORTED, f"weights={weights}", "--format", kind]
        code = cli.main([*words, "-o", str(tmp_path / name), *options])
        out, err = capfd.readouterr()
        assert (code, err) == (0, "")
        batch = images(model, 2)
        return tmp_path / name, out, batch, model(batch, training=False)

    return export


def size_in(text):
    return int(re.search(r": ([\d,]+) bytes", text)[1].replace(",", ""))


@pytest.mark.parametrize("options", [[], ["--batch", "2"]])
def test_export_to_openvino(export, options):
    path, out, batch, expected = export("openvino", "new/folder", *options)
    assert sorted(file.name for file in path.iterdir()) == ["card.json", "model.bin", "model.xml"]
    assert size_in(out) == sum(file.stat().st_size for file in path.iterdir())
    assert f"{CONVOLUTIONS} binary convolutions" in out
    run = RUNTIMES["openvino"](str(path / "model.xml"), 1)()
    batches = [batch] if options else [batch[:1], batch[1:]]
    found = np.concatenate([run(each).copy() for each in batches])
    assert relative(found, expected) < 1e-5


def test_export_with_preprocessing(export):
    path, _, _, _ = export("openvino", "x", "--preprocess")
    assert 'element_type="u8"' in (path / "model.xml").read_text()


def test_export_to_lce(export):
    path, out, batch, expected = export("lce", "model.tflite")
    assert size_in(out) == path.stat().st_size
    assert f"{CONVOLUTIONS} binary convolutions" in out
    assert count_binary_convolutions(path.read_bytes()) == CONVOLUTIONS
    assert relative(RUNTIMES["lce"](str(path), 1)()(batch), expected) < 1e-5


def test_export_to_tflite(export):
    path, _, batch, expected = export("tflite", "model.tflite")
    assert relative(RUNTIMES["lce"](str(path), 1)()(batch), expected) < 1e-5


@pytest.mark.slow
def test_export_to_saved_model(export):
    path, _, batch, expected = export("saved_model", "saved")
    signature = tf.saved_model.load(str(path)).signatures["serving_default"]
    (found,) = signature(tf.constant(batch)).values()
    assert relative(found, expected) < 1e-5


def test_export_of_a_saved_model(trained, tmp_path, capfd):
    model, _ = trained
    model.save(tmp_path / "model.keras")
    words = ["export", str(tmp_path / "model.keras"), "--format", "openvino"]
    assert cli.main([*words, "-o", str(tmp_path / "x")]) == 0
    batch = images(model, 1)
    found = RUNTIMES["openvino"](str(tmp_path / "x" / "model.xml"), 1)()(batch)
    assert relative(found, model(batch, training=False)) < 1e-5
