"""Runs from before the modules of `training` moved are evaluated, recognised and resumed.

`old_runs.tar.xz` was written by commit bed31d9, which had `training/` without folders, with

    lqz train RealResNet20 model.width=0.0625 batch_size=100 tensorboard=False
        dataset.train_split=train[:1000] dataset.validation_split=test[:500] epochs=E output_dir=DIR

once with one epoch, and once with three, ended by `kill -9` in the second.
"""

import csv
import json
import shutil
import tarfile
from pathlib import Path

import pytest

from training import cli
from zoo.files import sha256

ARCHIVE = Path(__file__).with_name("old_runs.tar.xz")
SETTINGS = (
    "model.width=0.0625",
    "batch_size=100",
    "tensorboard=False",
    "dataset.train_split=train[:1000]",
    "dataset.validation_split=test[:500]",
)


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("old")
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(folder)
    return folder


@pytest.fixture
def run(unpacked, tmp_path):
    """Copy one of the two runs."""
    return lambda name: Path(shutil.copytree(unpacked / name, tmp_path / name))


def train(directory: Path, epochs: int) -> int:
    return cli.main(
        ["train", "RealResNet20", *SETTINGS, f"epochs={epochs}", f"output_dir={directory}"]
    )


def test_a_finished_run_is_evaluated_and_known_again(run, capsys):
    directory = run("finished")
    before = sha256(directory / "1-real" / "realresnet20.npz")
    assert cli.main(["evaluate", str(directory), "--tolerance", "1"]) == 0
    printed = capsys.readouterr().out
    assert "RealResNet20 (realresnet20.npz) on FashionMNIST, split test[:500]" in printed
    assert "from the 12.80 % recorded by the run's stage 'real': within" in printed
    assert train(directory, epochs=1) == 0
    assert "Stage 'real' is finished: top-1 12.80 %." in capsys.readouterr().out
    assert sha256(directory / "1-real" / "realresnet20.npz") == before


@pytest.mark.slow
def test_a_killed_run_goes_on_from_its_checkpoint(run, capsys):
    directory = run("interrupted")
    config = json.loads((directory / "config.json").read_text())
    [checkpoint] = json.loads((directory / "1-real" / "checkpoints.json").read_text())
    assert checkpoint["file"] == "step-000000010.npz"  # the end of the first of three epochs
    first = (directory / "1-real" / "log.csv").read_text().splitlines()[1]
    assert train(directory, epochs=3) == 0
    log = (directory / "1-real" / "log.csv").read_text().splitlines()
    assert [row["epoch"] for row in csv.DictReader(log)] == ["1", "2", "3"] and log[1] == first
    result = json.loads((directory / "1-real" / "result.json").read_text())
    assert result["epochs"] == 3 and sha256(directory / "realresnet20.npz") == result["sha256"]
    after = json.loads((directory / "config.json").read_text())
    assert {key: after[key] for key in config} == config


@pytest.mark.slow
def test_a_run_goes_on_by_its_directory_and_ends_the_same(run, tmp_path, capsys):
    """Its configuration has no format number, and its checkpoint uses numbers as names."""
    directory = run("interrupted")
    assert "format" not in json.loads((directory / "config.json").read_text())
    other = Path(shutil.copytree(directory, tmp_path / "other"))
    assert train(directory, epochs=3) == 0
    assert cli.main(["train", str(other), "tensorboard=False"]) == 0
    assert "Continuing stage 'real' after step 10." in capsys.readouterr().out
    weights = [sha256(each / "realresnet20.npz") for each in (directory, other)]
    assert weights[0] == weights[1]
