"""Every kind of hostile file on every command and function that opens files."""

import contextlib
import json
import re
import resource
import shutil
import tempfile
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from hostile_files import ALL, HARMLESS_WEIGHTS, RUNS, open_carelessly
from large_files import png

import zoo
from zoo.errors import ZooError
from zoo.files import sha256
from zoo.weights import load_features, load_weights, save_weights

pytestmark = pytest.mark.usefixtures("small_networks", "short_quicknet")

MODEL = "RealResNet20"
MOST_MEMORY = 700 * 2**20  # bytes that the process may take besides what it has


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Path by kind of file, each in a folder of its own."""
    made = {}
    for kind, make in ALL.items():
        folder = tmp_path_factory.mktemp("hostile")
        made[kind] = make(folder, folder / "marker")
        assert not (folder / "marker").exists()
    yield made
    for path in made.values():
        shutil.rmtree(path.parent)


@pytest.fixture(scope="module")
def model(small_networks):
    return zoo.RealResNet20(weights=None)


def a_run(folder, file, model):
    """A run's directory whose saved network is `file`."""
    from training.loop.run_directory import CONFIG, RESULT
    from training.loop.stage import StageResult

    run = folder / "run"
    stage = run / "1-binary"
    stage.mkdir(parents=True)
    save_weights(model, stage / "net.npz")
    digest = sha256(stage / "net.npz")
    result = StageResult("binary", 1.0, 1.0, 1.0, 10, 1, 1.0, "net.npz", digest, {})
    (stage / RESULT).write_text(json.dumps(asdict(result)))
    (run / CONFIG).write_text(json.dumps({"dataset": "FashionMNIST"}))
    (run / "net.keras").symlink_to(file)
    return run


def an_image(folder):
    return png(folder / "image.png", 8, 8, bytes(72))


COMMANDS = {
    "summary": lambda file, folder, model: ("summary", MODEL, f"weights={file}"),
    "predict, weights": lambda file, folder, model: (
        "predict",
        MODEL,
        an_image(folder),
        f"weights={file}",
    ),
    "predict, network": lambda file, folder, model: ("predict", file, an_image(folder)),
    "predict, run": lambda file, folder, model: (
        "predict",
        a_run(folder, file, model),
        an_image(folder),
    ),
    "predict, image": lambda file, folder, model: ("predict", MODEL, file),
    "evaluate, network": lambda file, folder, model: (
        "evaluate",
        file,
        "dataset=FashionMNIST",
        "preprocessing=PadCropFlip",
    ),
    "evaluate, run": lambda file, folder, model: ("evaluate", a_run(folder, file, model)),
    "evaluate, weights": lambda file, folder, model: (
        "evaluate",
        MODEL,
        f"weights={file}",
        "dataset=FashionMNIST",
        "preprocessing=PadCropFlip",
    ),
    "export, network": lambda file, folder, model: (
        "export",
        file,
        "--format",
        "tflite",
        "-o",
        folder / "out.tflite",
    ),
    "export, run": lambda file, folder, model: (
        "export",
        a_run(folder, file, model),
        "--format",
        "tflite",
        "-o",
        folder / "out.tflite",
    ),
    "summary, network": lambda file, folder, model: ("summary", file),
    "export, weights": lambda file, folder, model: (
        "export",
        MODEL,
        f"weights={file}",
        "--format",
        "tflite",
        "-o",
        folder / "out.tflite",
    ),
    "benchmark, network": lambda file, folder, model: ("benchmark", file, "--runtimes", "keras"),
    "benchmark, weights": lambda file, folder, model: (
        "benchmark",
        MODEL,
        f"weights={file}",
        "--runtimes",
        "keras",
    ),
    "convert": lambda file, folder, model: ("convert", MODEL, file, "--name", "mine"),
    "convert, larq-zoo": lambda file, folder, model: ("convert", "QuickNet", file, "--name", "a"),
    "convert --to packed, network": lambda file, folder, model: (
        "convert",
        file,
        "--to",
        "packed",
        "-o",
        folder / "out.npz",
    ),
    "convert --to torch": lambda file, folder, model: (
        "convert",
        MODEL,
        file,
        "--to",
        "torch",
        "-o",
        folder / "out.pth",
    ),
    "train": lambda file, folder, model: (
        "train",
        "OneHour",
        "dataset=FashionMNIST",
        f"initialize_from={file}",
        f"output_dir={folder / 'training-run'}",
    ),
}


def teacher(file):
    from zookeeper import configure

    from training.recipes._teachers import KerasApplicationFactory

    factory = KerasApplicationFactory()
    configure(factory, {"application": "MobileNet", "weights": str(file), "num_classes": 1000})
    factory.build()


FUNCTIONS = {
    "load_model": lambda file, model: zoo.load_model(file),
    "load_model, text": lambda file, model: zoo.load_model(str(file), compile=False),
    "get_model": lambda file, model: zoo.get_model(MODEL, weights=file),
    "get_model, text": lambda file, model: zoo.get_model(MODEL, weights=str(file)),
    "get_model, larq-zoo": lambda file, model: zoo.get_model("QuickNet", weights=str(file)),
    "load_weights": lambda file, model: load_weights(model, file),
    "load_features": lambda file, model: load_features(model, file),
    "preprocess_input": lambda file, model: zoo.preprocess_input(file, "cifar10"),
    "teacher": lambda file, model: teacher(file),
}


def one_sentence(text):
    assert text.strip() and "\n" not in text.strip(), text
    assert "Traceback" not in text and text.strip().endswith("."), text


def everything(*folders):
    """Names and sizes of all that lies in folders; no link is followed, no pipe opened."""
    return {
        path: path.lstat().st_size if not path.is_dir() else None
        for folder in folders
        for path in Path(folder).rglob("*")
        if not re.search(r"__pycache__|__autograph_generated_file|/training-run", str(path))
    }


@contextlib.contextmanager
def nothing_happens(file, tmp_path, monkeypatch):
    """No marker, no file, and little memory; also where temporary files go."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    monkeypatch.syspath_prepend(file.parent)  # as if it lay in the working directory
    before, memory = everything(file.parent, tmp_path), peak()
    yield
    left = everything(file.parent, tmp_path)
    assert left == before
    assert not (file.parent / "marker").exists()
    assert peak() - memory < MOST_MEMORY


def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@pytest.mark.parametrize("kind", RUNS)
def test_the_files_are_hostile(kind, tmp_path, monkeypatch):
    """Opened without a check, each writes the marker; else the table would prove nothing."""
    file = RUNS[kind](tmp_path, tmp_path / "marker")
    monkeypatch.syspath_prepend(tmp_path)
    with contextlib.suppress(Exception):  # some run first and fail then
        open_carelessly(file)
    assert (tmp_path / "marker").exists()


def table(entries):
    """Every entry with every file."""
    only_weights = {
        "summary",
        "train",
        "get_model",
        "load_weights",
        "load_features",
        "teacher",
        "convert",
    }
    return [
        pytest.param(entry, kind, id=f"{entry}-{kind}")
        for entry in entries
        for kind in ALL
        if kind not in HARMLESS_WEIGHTS
        or entry.endswith((", network", ", run"))
        or not (entry.partition(",")[0] in only_weights or entry.endswith(", weights"))
    ]


@pytest.mark.parametrize(("entry", "kind"), table(COMMANDS))
def test_commands(entry, kind, files, model, lqz, tmp_path, monkeypatch):
    arguments = COMMANDS[entry](files[kind], tmp_path, model)
    with nothing_happens(files[kind], tmp_path, monkeypatch):
        code, _, err = lqz(*arguments)
    assert code == 2 and err.splitlines()[-1].startswith("Error: "), err
    one_sentence(err.splitlines()[-1])


@pytest.mark.parametrize(("entry", "kind"), table(FUNCTIONS))
def test_functions(entry, kind, files, model, home, tmp_path, monkeypatch):
    before = model.get_weights()
    with nothing_happens(files[kind], tmp_path, monkeypatch), pytest.raises(ZooError) as caught:
        FUNCTIONS[entry](files[kind], model)
    one_sentence(str(caught.value))
    for ours, theirs in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_the_way_in_is_said_and_leads_in(files):
    file = files["lambda_in_hdf5"]
    with pytest.raises(ZooError, match=r"contains Lambda.*load_model\(path, safe_mode=False\)"):
        zoo.load_model(file)
    assert zoo.load_model(file, safe_mode=False)(np.zeros((1, 4), "f4")).shape == (1, 4)
    (file.parent / "marker").unlink()
