"""`lqz export` and `lqz benchmark` on small networks, with every runtime, and what they write."""

import csv
import json
import re

import numpy as np
import pytest
import tensorflow as tf
from case import images, randomize
from networks import relative
from PIL import Image

import zoo
from benchmarks import update_readme
from training import cli
from training.bench.picture import points
from training.bench.session import spread
from training.bench.worker import RUNTIMES
from zoo import catalog
from zoo.deploy import count_binary_convolutions
from zoo.weights import save_weights

MODEL = "SDBNNResNet20"  # 32x32, with a published accuracy
CONVOLUTIONS = 18


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A network with weights, and their file."""
    folder = tmp_path_factory.mktemp("weights")
    model = randomize(zoo.get_model(MODEL, weights=None))
    save_weights(model, folder / "weights.npz")
    return model, folder / "weights.npz"


@pytest.fixture
def export(trained, tmp_path, capfd):
    """`lqz export` of the network; gives the path, what was printed, and a batch with outputs."""
    model, weights = trained

    def export(kind, name, *options):
        words = ["export", MODEL, f"weights={weights}", "--format", kind]
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
    assert sorted(file.name for file in path.iterdir()) == ["model.bin", "model.xml"]
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


# --- benchmark ------------------------------------------------------------------------------------

KINDS = ("openvino", "openvino-float", "openvino-twin", "lce", "keras")


@pytest.fixture(scope="module")
def measured(trained, tmp_path_factory):
    """One benchmark of all runtimes, and the folder with what it wrote."""
    folder = tmp_path_factory.mktemp("benchmark")
    words = ["benchmark", MODEL, f"weights={trained[1]}", "--runtimes", ",".join(KINDS)]
    options = ["--threads", "1,2", "--batch", "1", "--rounds", "2", "--per-layer"]
    files = {"--json": "all.json", "--csv": "new/latency.csv", "--plot": "picture.png"}
    for option, name in files.items():
        options += [option, str(folder / name)]
    assert cli.main([*words, *options]) == 0
    return folder


@pytest.fixture(scope="module")
def rows(measured):
    return json.loads((measured / "all.json").read_text())["results"]


def test_a_row_for_each_runtime_and_number_of_threads(rows):
    expected = [(kind, threads) for threads in (1, 2) for kind in KINDS]
    assert [(row["runtime"], row["threads"]) for row in rows] == expected
    assert {(row["model"], row["batch"]) for row in rows} == {(MODEL, 1)}


def test_every_runtime_computed_the_network(rows):
    for row in rows:
        assert row["relative_l2"] < 1e-5, row["runtime"]
        assert row["same_top1"] == 1


def test_columns_are_filled(rows):
    published = catalog.row(MODEL)
    for row in rows:
        assert 0 < row["ms_min"] <= row["ms_q1"] <= row["ms"] <= row["ms_q3"]
        assert row["runs"] >= 2 and row["load_s"] > 0
        assert 2**20 < row["added_memory"] < row["peak_memory"]
        assert row["memory_bytes"] == published.memory_bytes
        assert row["binary_macs"] == published.binary_macs
    sizes = {row["runtime"]: row["file_bytes"] for row in rows}
    assert sizes["openvino"] < sizes["openvino-float"] / 3
    assert sizes["lce"] < sizes["openvino-float"] / 3


def test_layers_add_up(rows, measured):
    with (measured / "new" / "latency_layers.csv").open() as file:
        lines = list(csv.DictReader(file))
    for threads in (1, 2):
        mine = [line for line in lines if line["threads"] == str(threads)]
        assert sum(float(line["share"]) for line in mine) == pytest.approx(1, abs=0.01)
        assert "BinaryConvolution" in {line["layer"] for line in mine}
        (row,) = [r for r in rows if (r["runtime"], r["threads"]) == ("openvino", threads)]
        assert [layer["layer"] for layer in row["layers"]] == [line["layer"] for line in mine]


def test_the_machine_is_named(measured):
    machine = json.loads((measured / "all.json").read_text())["machine"]
    assert machine["cpu"] and machine["cores"] >= 1 and machine["command"].startswith("lqz ")
    assert machine["versions"]["openvino"] and machine["versions"]["larq-compute-engine"]
    assert machine["instruction_sets"] is None or "sse4_2" in machine["instruction_sets"]


def test_csv_holds_the_same(measured, rows):
    with (measured / "new" / "latency.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == len(rows)
    for line, row in zip(lines, rows, strict=True):
        assert line["runtime"] == row["runtime"]
        assert float(line["ms"]) == pytest.approx(row["ms"], rel=1e-3)
        assert int(line["file_bytes"]) == row["file_bytes"]
        assert all(line.values())


def test_the_picture(measured, rows):
    with Image.open(measured / "picture.png") as picture:
        assert picture.format == "PNG" and len(set(picture.convert("L").getdata())) > 10
    drawn = points(rows)
    assert [point["runtime"] for point in drawn] == list(KINDS)
    assert {point["threads"] for point in drawn} == {1}
    assert {point["top1"] for point in drawn} == {catalog.row(MODEL).top1}
    narrower = [{**row, "binary_macs": row["binary_macs"] // 4} for row in rows]
    assert points(narrower) == []  # another network than the published one


def test_the_readmes_tables_come_from_these_files(measured):
    table = update_readme.latency(measured / "new" / "latency.csv")
    (line,) = [line for line in table.splitlines() if line.startswith(f"| {MODEL}")]
    assert line.count("|") == table.splitlines()[0].count("|") and "|  |" not in line
    layers = update_readme.layers(measured / "new" / "latency_layers.csv", MODEL)
    assert "| BinaryConvolution |" in layers
    for missing in (update_readme.latency, update_readme.layers):
        assert missing(measured / "nothing.csv") == update_readme.NO_LATENCY


def test_without_a_published_accuracy_there_is_no_picture(tmp_path, capfd):
    words = ["benchmark", "RealResNet20", "width=0.25", "--runtimes", "openvino", "--rounds", "1"]
    assert cli.main([*words, "--plot", str(tmp_path / "x.png")]) == 0
    assert "No picture: none of these networks has a published accuracy." in capfd.readouterr().err
    assert not (tmp_path / "x.png").exists()


def test_spread():
    assert spread([0.001, 0.002, 0.003, 0.004, 0.005]) == pytest.approx(
        {"ms": 3.0, "ms_q1": 1.5, "ms_q3": 4.5, "ms_min": 1.0}
    )
    assert spread([0.002])["ms_q3"] == 2.0


def test_a_worker_that_ends_is_named(tmp_path, capfd, monkeypatch):
    (tmp_path / "model.keras").write_text("nothing")
    from training.bench.session import Worker
    from zoo.errors import DeployError

    np.save(tmp_path / "images.npy", np.zeros((1, 4, 4, 3), np.float32))
    with pytest.raises(DeployError, match="The runtime 'keras' ended: ") as error:
        Worker("keras", tmp_path / "model.keras", 1, tmp_path / "images.npy")
    assert "\n" not in str(error.value)
