"""The table of accuracies, and the evaluation of a run that fills it."""

import dataclasses
import json
import shutil
import subprocess
import threading
from pathlib import Path

import numpy as np
import pytest

from tools import keep_run
from tools.document_tables.trained import NO_ACCURACY, accuracy
from tools.tables import ROOT, read_table
from training import cli
from training.commands.evaluate.accuracy_table import (
    ACCURACY,
    AccuracyRow,
    commit,
    read_rows,
    write_row,
)
from training.loop.stage import StageResult
from zoo.errors import ResultsError, RunError, WeightsError
from zoo.files import sha256, write_json
from zoo.models._resnet import CifarResNet20
from zoo.pretrained import cache
from zoo.pretrained.records import find_record

pytestmark = pytest.mark.usefixtures("small_networks")

REAL_SHIPPED = cache.SHIPPED

ROW = AccuracyRow(
    model="ReActNetA",
    params=1_784_602,
    dataset="FashionMNIST",
    split="test",
    images=2000,
    top1=88.55,
    top5=99.7,
    published_top1=69.4,
    gap=19.15,
    weights_sha256="ab" * 32,
    weights="reactneta.npz",
    recipe='{"task":"ReActNet","shape":[1,2]}',
    evaluation="{}",
    epochs="teacher=6 binary=10",
    train_top1=91.5,
    train_seconds=946.5,
    trained_by="lqz train ReActNet",
    devices="binary: 1-9 on CPU, TensorFlow 2.19.1",
    seed=0,
    commit="0f" * 20 + "+dirty",
    command="lqz evaluate 'a, b'",
    date="2025-01-31",
    tensorflow="2.19.1",
    larq="0.14.0",
)
BARE = dataclasses.replace(
    ROW,
    model="RealResNet20",
    published_top1=None,
    gap=None,
    train_top1=None,
    train_seconds=None,
    seed=None,
    epochs="",
    trained_by="",
    devices="",
)


def test_rows_are_read_as_they_were_written(tmp_path):
    path = tmp_path / "results" / "accuracy.csv"
    assert read_rows(path) == []
    write_row(path, ROW)
    write_row(path, BARE)
    assert read_rows(path) == [ROW, BARE]
    assert b"\r" not in path.read_bytes()


def test_a_row_of_the_same_weights_and_data_takes_the_place_of_the_old(tmp_path):
    path = tmp_path / "accuracy.csv"
    newer = dataclasses.replace(ROW, top1=88.6, date="2025-02-01")
    others = [dataclasses.replace(ROW, weights_sha256="cd" * 32), BARE]
    for row in (ROW, *others, newer):
        write_row(path, row)
    assert read_rows(path) == [newer, *others]
    assert [p.name for p in tmp_path.iterdir() if p.suffix != ".lock"] == ["accuracy.csv"]


def test_writers_at_the_same_time_lose_nothing(tmp_path):
    rows = [dataclasses.replace(ROW, model=f"model{number}") for number in range(8)]
    path = tmp_path / "accuracy.csv"
    threads = [threading.Thread(target=write_row, args=(path, row)) for row in rows]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(row.model for row in read_rows(path)) == [row.model for row in rows]


@pytest.mark.parametrize(
    ("before", "after"),
    [(",88.55,", ",much,"), ("images", "pictures"), (",2.19.1,", ",2.19.1,1,"), ("ab", '"a')],
)
def test_a_damaged_table_is_named_and_left(tmp_path, before, after):
    path = tmp_path / "accuracy.csv"
    write_row(path, ROW)
    damaged = path.read_text().replace(before, after)
    path.write_text(damaged)
    with pytest.raises(ResultsError, match=r"accuracy\.csv"):
        write_row(path, BARE)
    assert path.read_text() == damaged


def test_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(ResultsError, match="cannot be written"):
        write_row(tmp_path / "file" / "accuracy.csv", ROW)
    with pytest.raises(ResultsError, match="cannot be written: Is a directory"):
        write_row(tmp_path / "folder.csv", ROW)


def test_the_commit_of_a_checkout(tmp_path):
    package, other = tmp_path / "training", tmp_path / "zoo"
    for folder in (package, other):
        folder.mkdir()
        (folder / "__init__.py").write_text("")
    assert commit(package) == "unknown"

    def git(*words):
        identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
        done = subprocess.run(
            ["git", *identity, *words], cwd=tmp_path, check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    git("init", "-q")
    assert commit(package) == "unknown"  # inside a checkout, but not part of it
    git("add", ".")
    git("commit", "-qm", "first")
    head = git("rev-parse", "HEAD")
    (tmp_path / "README.md").write_text("text decides nothing")
    assert commit(package) == head
    (other / "layers.py").write_text("")
    assert commit(package) == head + "+dirty"


def test_the_readme_table(tmp_path):
    path = tmp_path / "accuracy.csv"
    assert accuracy(path) == NO_ACCURACY
    write_row(path, ROW)
    write_row(path, BARE)
    table = accuracy(path)
    first, second = [line for line in table.splitlines() if line.startswith("| Re")]
    assert first == (
        "| ReActNetA | `abababab` | FashionMNIST | 2,000 | 88.55 | 99.70 | 69.4 | +19.15 | "
        "6 teacher, 10 binary | 0.26 |"
    )
    assert second.split("|")[7:11] == ["  "] * 4
    made, bare = [line for line in table.splitlines() if line.startswith("- `")]
    assert made.startswith("- `abababab`: seed 0, commit `0f0f0f0f+dirty`, sha256 `abababab")
    assert "seed" not in bare


# ---- a run ----


@pytest.fixture
def evaluate(finished, tmp_path, monkeypatch, capfd):
    """Run `lqz evaluate` on a copy of a finished run; return exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(finished.run.directory, "run", ignore=shutil.ignore_patterns(".lock"))

    def evaluate(*options, of="run"):
        code = cli.main(["evaluate", of, *options])
        out, err = capfd.readouterr()
        return code, out, err

    return evaluate


def test_a_run_is_evaluated_as_it_was_trained_and_recorded(evaluate, finished, tmp_path):
    code, out, _ = evaluate("--record")
    last = finished.run.results[-1]
    assert code == 0 and f"top-1  {last.top1:.2f} %" in out and "of 40 images" in out
    assert f"+0.00 points from the {last.top1:.2f} % recorded by the run's stage 'binary'" in out
    assert (tmp_path / "run" / "confusion-ReActNet20.png").is_file()
    (row,) = read_rows(tmp_path / "results" / "accuracy.csv")
    assert (row.top1, row.top5) == (pytest.approx(last.top1), pytest.approx(last.top5))
    assert row.weights_sha256 == last.sha256 and row.model == "ReActNet20" and row.seed == 0
    assert row.epochs == "teacher=1 binary-activations=1 binary=1"
    assert row.train_seconds == pytest.approx(sum(r.seconds for r in finished.run.results), abs=0.1)
    config = json.loads((finished.run.directory / "config.json").read_text())
    assert row.devices.startswith("teacher: 1-1 on CPU, TensorFlow ") and config.pop("devices")
    assert config.pop("format") == 2
    assert json.loads(row.recipe) == config and row.command == "lqz evaluate run"


def test_another_figure_than_the_runs_gives_exit_code_1(evaluate, tmp_path):
    path = tmp_path / "run" / "3-binary" / "result.json"
    result = json.loads(path.read_text())
    write_json(path, result | {"top1": result["top1"] - 0.2})
    code, out, _ = evaluate("batch_size=7", of="run/reactnet20.keras")
    assert code == 1 and "Difference +0.20 points" in out and "beyond the tolerance of 0.1" in out


def test_runs_that_cannot_be_evaluated(evaluate, tmp_path):
    run = tmp_path / "run"
    assert_refused(evaluate("epochs=3"), "There is no key 'epochs'")
    weights = run / "3-binary" / "reactnet20.npz"
    content = weights.read_bytes()
    weights.write_bytes(content[:-1] + b"x")
    assert_refused(evaluate(), "not what result.json beside it records")
    weights.write_bytes(content)
    saved = (run / "reactnet20.keras").read_bytes()
    (run / "reactnet20.keras").write_bytes(saved[:1000])
    assert_refused(evaluate(), "is not a readable model")
    (run / "reactnet20.keras").unlink()
    assert_refused(evaluate(), "is not finished")
    (run / "config.json").write_text("{")
    assert_refused(evaluate(), "config.json is damaged")


def assert_refused(result, text):
    """Assert exit code 2 and one sentence."""
    code, out, err = result
    assert code == 2 and out == "" and text in err and len(err.splitlines()) == 1


# ---- keeping it ----


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """The folder that `keep_run` writes to, instead of this repository."""
    shipped = tmp_path / "shipped"
    shipped.mkdir()
    (shipped / "records.json").write_text("[]")
    monkeypatch.setattr(keep_run, "CURVES", tmp_path / "curves.csv")
    monkeypatch.setattr(keep_run, "SHIPPED_RECORDS", shipped / "records.json")
    monkeypatch.setattr(cache, "SHIPPED", shipped)
    return shipped


def test_a_run_that_was_not_evaluated_is_not_kept(evaluate, kept, tmp_path):
    with pytest.raises(RunError, match="lqz evaluate run --record"):
        keep_run.row_of(Path("run"))


def test_an_unfinished_run_is_not_kept(evaluate, kept):
    """Its last finished stage may have the weights of another run; the curves would be lost."""
    evaluate("--record")
    Path("run/reactnet20.keras").unlink()
    with pytest.raises(RunError, match="The run in run is not finished"):
        keep_run.row_of(Path("run"))


def test_curves_are_kept_once(evaluate, kept):
    evaluate("--record")
    row = keep_run.row_of(Path("run"))
    for _ in range(2):
        keep_run.keep_curves(Path("run"), row)
    curves = read_table(keep_run.CURVES)
    epochs = [f"{line['stage'].replace(' ', '-')}={line['epoch']}" for line in curves]
    lasts = [text for text in row.epochs.split() if not text.endswith("=0")]
    assert len(epochs) == len(set(epochs)) and set(lasts) <= set(epochs)
    assert {line["run"] for line in curves} == {row.weights_sha256[:8]}
    assert float(curves[-1]["validation_top1"]) == pytest.approx(row.top1, abs=1e-3)


def test_weights_go_into_the_package_with_their_record(evaluate, kept):
    evaluate("--record")
    row = keep_run.row_of(Path("run"))
    with pytest.raises(RunError, match="are not shipped, only for ImageNet"):
        keep_run.ship(Path("run"), row, "mine")
    other_images = dataclasses.replace(row, dataset="Cifar10")
    with pytest.raises(WeightsError, match="do not fit"):
        keep_run.ship(Path("run"), other_images, "mine")
    assert [path.name for path in kept.rglob("*")] == ["records.json"]


def test_a_shipped_set_shipped_again_is_the_same(kept, monkeypatch, tmp_path):
    """A copy of the set's run, with the weights in the package."""
    monkeypatch.setattr(CifarResNet20, "blocks", 3)  # as it was trained
    name, model = "cifar10", "RealResNet20"
    record = find_record(model, name)
    (row,) = [x for x in read_rows(ROOT / ACCURACY) if x.weights_sha256 == record.sha256]
    stage = tmp_path / "run" / "1-real"
    stage.mkdir(parents=True)
    file = REAL_SHIPPED / model / f"{name}.v{record.version}.npz"
    shutil.copy(file, stage / row.weights)
    result = StageResult(
        "real",
        row.top1,
        row.top5,
        row.train_top1,
        row.images,
        60,
        1.0,
        row.weights,
        record.sha256,
        {},
    )
    write_json(stage / "result.json", dataclasses.asdict(result))
    write_json(tmp_path / "run" / "config.json", json.loads(row.recipe))
    (tmp_path / "run" / "realresnet20.keras").touch()
    for _ in range(2):
        path = keep_run.ship(tmp_path / "run", row, name)
    assert path == cache.shipped(model, name) and sha256(path) == record.sha256
    first = dataclasses.replace(record, version=1)  # here it is the first
    assert path.name == f"{name}.v1.npz"
    assert json.loads((kept / "records.json").read_text()) == [dataclasses.asdict(first)]

    # Other weights with the same name become the next version; the first version's file is removed.
    with np.load(stage / row.weights) as arrays:
        np.savez(stage / row.weights, **{**arrays, "bn1.bias": arrays["bn1.bias"] + 1})
    result = dataclasses.replace(result, sha256=sha256(stage / row.weights))
    write_json(stage / "result.json", dataclasses.asdict(result))
    assert keep_run.ship(tmp_path / "run", row, name).name == f"{name}.v2.npz"
    assert [path.name for path in (kept / model).iterdir()] == [f"{name}.v2.npz"]
    (second,) = json.loads((kept / "records.json").read_text())
    assert (second["version"], second["sha256"]) == (2, result.sha256)
