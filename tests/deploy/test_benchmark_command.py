"""`lqz benchmark` with every runtime: what it prints, its files and its picture."""

import csv
import json

import numpy as np
import pytest
from case import randomize
from PIL import Image

import zoo
from tools.document_tables import latency
from training import cli
from training.commands.benchmark.command import measure
from training.commands.benchmark.course import Course
from training.commands.benchmark.picture import points
from training.commands.benchmark.session import spread
from training.commands.network import resolve
from zoo import catalog
from zoo.weights import save_weights

MODEL = "SDBNNResNet20"  # 32x32, with a published accuracy

KINDS = ("c", "openvino", "openvino-float", "lce", "keras")


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """One benchmark of all runtimes, and the folder with its files."""
    folder = tmp_path_factory.mktemp("benchmark")
    save_weights(randomize(zoo.get_model(MODEL, weights=None)), folder / "weights.npz")
    words = ["benchmark", MODEL, f"weights={folder / 'weights.npz'}"]
    options = ["--rounds", "2", "--per-layer"]  # the default runtimes
    files = {"--json": "all.json", "--csv": "new/latency.csv", "--plot": "picture.png"}
    for option, name in files.items():
        options += [option, str(folder / name)]
    assert cli.main([*words, *options]) == 0
    return folder


@pytest.fixture(scope="module")
def rows(measured):
    return json.loads((measured / "all.json").read_text())["results"]


@pytest.mark.slow
def test_a_row_for_each_runtime(rows):
    assert [row["runtime"] for row in rows] == list(KINDS)
    assert {(row["model"], row["threads"], row["batch"]) for row in rows} == {(MODEL, 1, 1)}


@pytest.mark.slow
def test_every_runtime_computed_the_network(rows):
    for row in rows:
        assert row["relative_l2"] < 1e-5, row["runtime"]
        assert row["same_top1"] == 1


@pytest.mark.slow
def test_columns_are_filled(rows):
    published = catalog.row(MODEL)
    for row in rows:
        assert 0 < row["ms_min"] <= row["ms_q1"] <= row["ms"] <= row["ms_q3"]
        assert row["runs"] >= 2 and row["load_s"] > 0
        least = 0 if row["runtime"] == "c" else 2**20
        assert least <= row["added_memory"] < row["peak_memory"]
        assert row["memory_bytes"] == published.memory_bytes
        assert row["binary_macs"] == published.binary_macs
    sizes = {row["runtime"]: row["file_bytes"] for row in rows}
    assert sizes["openvino"] < sizes["openvino-float"] / 3
    assert sizes["lce"] < sizes["openvino-float"] / 3


@pytest.mark.slow
def test_layers_add_up(rows, measured):
    with (measured / "new" / "latency_layers.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert sum(float(line["share"]) for line in lines) == pytest.approx(1, abs=0.01)
    assert "BinaryConvolution" in {line["layer"] for line in lines}
    (measured_layers,) = [row["layers"] for row in rows if "layers" in row]
    assert [layer["layer"] for layer in measured_layers] == [line["layer"] for line in lines]


@pytest.mark.slow
def test_the_machine_is_named(measured):
    machine = json.loads((measured / "all.json").read_text())["machine"]
    assert machine["cpu"] and machine["cores"] >= 1 and machine["command"].startswith("lqz")
    assert machine["versions"]["openvino"] and machine["versions"]["larq-compute-engine"]
    assert machine["instruction_sets"] is None or "sse4_2" in machine["instruction_sets"]


@pytest.mark.slow
def test_csv_holds_the_same(measured, rows):
    with (measured / "new" / "latency.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == len(rows)
    for line, row in zip(lines, rows, strict=True):
        assert line["runtime"] == row["runtime"]
        assert float(line["ms"]) == pytest.approx(row["ms"], rel=1e-3)
        assert int(line["file_bytes"]) == row["file_bytes"]
        assert all(line.values())


@pytest.mark.slow
def test_the_picture(measured, rows):
    with Image.open(measured / "picture.png") as picture:
        assert picture.format == "PNG" and len(set(picture.convert("L").getdata())) > 10
    drawn = points(rows)
    assert [point["runtime"] for point in drawn] == list(KINDS)
    assert {point["top1"] for point in drawn} == {catalog.row(MODEL).top1}
    narrower = [{**row, "binary_macs": row["binary_macs"] // 4} for row in rows]
    assert points(narrower) == []  # not the published network


@pytest.mark.slow
def test_the_readmes_tables_come_from_these_files(measured):
    file = measured / "new" / "latency.csv"
    for table in (latency.times(file), latency.sizes(file)):
        (line,) = [line for line in table.splitlines() if line.startswith(f"| {MODEL}")]
        assert line.count("|") == table.splitlines()[0].count("|")
        # Only the two columns of measurements with two threads are empty.
        assert line.count("|  |") == (2 if "2 threads" in table else 0)
        assert table in latency.latency(file)
    assert "times as long" in latency.headline(file, MODEL)
    layers = latency.layers(measured / "new" / "latency_layers.csv", MODEL)
    assert "| BinaryConvolution |" in layers
    for missing in (latency.latency, latency.layers):
        assert missing(measured / "nothing.csv") == latency.NO_LATENCY


@pytest.mark.slow
def test_threads_batches_and_a_network_without_a_published_accuracy(tmp_path, capfd):
    words = ["benchmark", "ReActNet20", "weights=none", "num_classes=7"]
    options = ["--threads", "1,2", "--batch", "1,3", "--rounds", "1"]
    options += ["--runtimes", "openvino,openvino-twin"]
    files = ["--plot", str(tmp_path / "x.png"), "--json", str(tmp_path / "x.json")]
    assert cli.main([*words, *options, *files]) == 0
    out, err = capfd.readouterr()
    assert "No picture: none of these networks has a published accuracy." in err
    assert not (tmp_path / "x.png").exists()
    rows = json.loads((tmp_path / "x.json").read_text())["results"]
    measured = [(row["batch"], row["threads"], row["runtime"]) for row in rows]
    kinds = ("openvino", "openvino-twin")
    assert measured == [(b, t, kind) for b in (1, 3) for t in (1, 2) for kind in kinds]
    assert sum("ReActNet20" in line for line in out.splitlines()) == len(rows)


@pytest.mark.slow
def test_the_file_of_an_untrained_network_is_as_large_as_a_trained_ones():
    network = resolve("ReActNetA", {"input_shape": (32, 32, 3), "weights": None})
    course = Course(1, [1], [1])
    ((row,),) = measure(network, ["openvino"], [1], [1], rounds=1, per_layer=False, course=course)
    assert row["file_bytes"] == pytest.approx(row["memory_bytes"], rel=0.05)


def test_spread():
    assert spread([0.001, 0.002, 0.003, 0.004, 0.005]) == pytest.approx(
        {"ms": 3.0, "ms_q1": 1.5, "ms_q3": 4.5, "ms_min": 1.0}
    )
    assert spread([0.002])["ms_q3"] == 2.0


def test_a_worker_that_ends_is_named(tmp_path, capfd, monkeypatch):
    (tmp_path / "model.keras").write_text("nothing")
    from training.commands.benchmark.session import Worker
    from zoo.errors import DeployError

    np.save(tmp_path / "images.npy", np.zeros((1, 4, 4, 3), np.float32))
    with pytest.raises(DeployError, match="The runtime 'keras' ended: ") as error:
        Worker("keras", tmp_path / "model.keras", 1, tmp_path / "images.npy")
    assert "\n" not in str(error.value)
