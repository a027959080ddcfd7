"""README and docs: their tables agree with the data, and every code block runs."""

import os
import re
import shlex
import subprocess
import sys
import textwrap
from importlib import util
from pathlib import Path
from typing import Any

import pytest

from tests.small_networks import small_networks
from tools.update_tables import DOCUMENTS, ROOT, TABLES, filled
from training.commands.evaluate.accuracy_table import ACCURACY, read_rows

TEXTS = {path.relative_to(ROOT).as_posix(): path.read_text("utf-8") for path in DOCUMENTS}
BLOCK = re.compile(r"^([ ]*)```(\w*)\n(.*?)^\1```$", re.DOTALL | re.MULTILINE)
SLOW = [pytest.mark.slow, pytest.mark.timeout(1200)]


def blocks(language: str) -> list:
    """Return every code block of a language, named by its file and place."""
    return [
        pytest.param(name, match, id=f"{name}-{number}")
        for name, text in TEXTS.items()
        for number, match in enumerate(BLOCK.finditer(text))
        if match[2] == language
    ]


# --- tables ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TEXTS)
def test_tables_are_up_to_date(name):
    assert filled(TEXTS[name]) == TEXTS[name], "run python -m tools.update_tables"


def test_every_table_has_one_place():
    assert sorted(re.findall("<!-- begin (\\w+) -->", "".join(TEXTS.values()))) == sorted(TABLES)


def test_the_demo_is_said_to_end_where_recorded_runs_of_it_ended():
    rows = read_rows(ROOT / ACCURACY)
    runs = {row.seed: row.top1 for row in rows if row.dataset == "FashionMNIST"}
    assert set(runs) == {0, 1, 2} and min(runs.values()) > 88
    text = TEXTS["README.md"]
    table = re.search(r"^binary +11 +[\d.]+ % +([\d.]+) % +\d+:\d\d$", text, re.MULTILINE)
    assert table and table[1] == f"{runs[0]:.2f}"
    assert f"seeds 1 and 2 gave {runs[1]:.2f} % and {runs[2]:.2f} %" in text


# --- Python ---------------------------------------------------------------------------------------


def examples() -> list:
    """Return the Python blocks; exports, which tests/deploy covers, are left to the slow tier."""
    return [
        pytest.param(
            *each.values, id=each.id, marks=SLOW if "zoo.deploy" in each.values[1][3] else []
        )
        for each in blocks("python")
    ]


@pytest.mark.parametrize(("name", "block"), examples())
def test_python_runs_and_prints_what_stands_below(name, block, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # some examples write files
    code = textwrap.dedent(block[3])
    exec(compile(code, name, "exec"), {"__name__": "example"})
    printed = capsys.readouterr().out.strip()
    below = BLOCK.match(TEXTS[name], block.end() + 2) or BLOCK.search(TEXTS[name], block.end())
    shown = textwrap.dedent(below[3]).strip() if below and not below[2] else ""
    assert not printed or printed == shown


# --- commands -------------------------------------------------------------------------------------

# The messages of commands that need the paper's weights or PyTorch: how to get them.
REFUSED = {
    "lqz convert SDBNNResNet18 checkpoint.pth.tar": "There is no file 'checkpoint.pth.tar'",
    "lqz convert SDBNNResNet18 --to torch -o model.pth": "pip install",
    "lqz predict SDBNNResNet18 cat.jpg dog.jpg": "must be downloaded manually",
    "lqz evaluate ReActNet20 weights=w.npz dataset=Cifar10 --tolerance 0.2 --record": "Cifar10",
    "lqz train Demo data_service=grpc://host3:5050 --dry-run": "No data service answers at",
    "lqz train FineTune model=ReActNetA dataset.data_dir=photos --dry-run": "imagenet",
    "lqz prepare imagenet --tars downloads -o imagenet": "There is no folder downloads",
    "lqz train BiRealNet dataset=ImageFolder dataset.data_dir=imagenet --dry-run": "no folder",
    "lqz train FineTune dataset.data_dir=fashion validate_every=100 epochs=30 "
    "--dry-run": "no folder fashion",
    "lqz train FineTune dataset.data_dir=fashion validate_every=100 epochs=30 initialize_from=None "
    "--dry-run": "no folder fashion",
    "lqz evaluate net.onnx": "There is no 'net.onnx'",  # the slow tier exports
    "lqz evaluate runs/real --record": "There is no 'runs/real'",
    "lqz evaluate runs/hour --record": "There is no 'runs/hour'",
}
RUNNER = util.find_spec("training.portable.run").origin
LONG = ("lqz export", "lqz benchmark", "python -m tools.keep_run", "python -m benchmarks")
FULL_SIZE = [pytest.mark.models, pytest.mark.timeout(1200)]


def commands() -> list:
    """Return every line of the shell blocks once, without comments and continuations.

    A second training with the same recipe is left to the slow tier, as its dry run is similar.
    """
    found: dict[str, Any] = {}
    recipes: set[str] = set()
    for parameter in blocks("bash"):
        _, block = parameter.values
        text = re.sub(r"\\?\n\s{2,}", " ", textwrap.dedent(block[3]))
        for line in text.splitlines():
            if words := shlex.split(line, comments=True):
                command = shlex.join(words)
                if command in found:
                    continue
                recipe = words[2] if words[:2] == ["lqz", "train"] and len(words) > 3 else ""
                again = recipe in recipes and recipe != "FineTune"
                recipes |= {recipe} - {""}
                marks = SLOW if line.startswith(LONG) or again else []
                if line.startswith("lqz benchmark") or (marks and "ReActNetA" in words):
                    marks = FULL_SIZE
                found[command] = pytest.param(words, marks=marks, id=line[:70])
    return list(found.values())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with the files that the documents mention."""
    from PIL import Image

    import zoo
    from training.cli import main
    from zoo.weights import save_weights

    place = tmp_path_factory.mktemp("reader")
    colors = {"cat": (200, 90, 30), "dog": (30, 90, 200)}
    for animal, color in colors.items():
        image = Image.new("RGB", (64, 48), color)
        image.save(place / f"{animal}.jpg")
        for split in ("train", "validation"):
            (place / "photos" / split / animal).mkdir(parents=True)
            for number in range(300):
                image.save(place / "photos" / split / animal / f"{number}.jpg")
    save_weights(zoo.ReActNet20(weights=None), place / "w.npz")
    save_weights(zoo.ReActNetA(weights=None), place / "weights.npz")
    few = ("dataset.train_split=train[:500]", "epochs=1", "batch_size=250", "tensorboard=False")
    few += ("dataset=FashionMNIST", "crop_epochs=0")
    with small_networks():
        assert main(["train", "BiRealNet20", *few, f"output_dir={place / 'runs' / 'mine'}"]) == 0
    return place


# Commands that take minutes or need a network are checked but not run: `make`, `pip`, `jupyter`,
# the data service. `lqz train` makes a dry run.
@pytest.mark.parametrize("words", commands())
def test_commands_do_what_is_said(words, folder, monkeypatch, capfd):
    program, *rest = words
    if program == "lqz":
        check_lqz(rest, folder, monkeypatch, capfd)
    elif program == "make":
        assert rest[0] in re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    elif program == "python" and rest[0].startswith("programs/"):
        # The script of a training program has separate tests.
        beside = {**os.environ, "PYTHONPATH": str(ROOT / "training" / "data")}  # philox.py
        run = [sys.executable, RUNNER, "--help"]
        subprocess.run(run, check=True, capture_output=True, env=beside)
    elif program == "python":
        assert rest[0] == "-m" and util.find_spec(rest[1])
        if "data.service" not in rest[1]:
            run = [sys.executable, "-m", rest[1], "--help"]
            if "argparse" in Path(util.find_spec(rest[1]).origin).read_text():
                subprocess.run(run, cwd=ROOT, check=True, capture_output=True)
    elif program == "pip":
        extras = re.search(r"\[(.*)\]", rest[1])
        known = (ROOT / "setup.py").read_text()
        assert rest[0] == "install" and (
            not extras or all(f'"{extra}": ' in known for extra in extras[1].split(","))
        )
    elif program == "jupyter":
        assert rest[0] == "lab" and "jupyterlab" in (ROOT / "setup.py").read_text()
        assert list((ROOT / rest[1]).glob("*.ipynb"))
    elif program == "eval":
        assert rest == ["$(_LQZ_COMPLETE=bash_source lqz)"]  # tests/cli tests it
    elif program == ".":
        assert rest == [".venv/bin/activate"]
    elif program == "nvidia-cuda-mps-control":  # needs an NVIDIA GPU
        assert rest == ["-d"]
    else:
        assert program == "export" and rest[0].startswith(("TF_CONFIG=", "JAX_"))


def check_lqz(words, folder, monkeypatch, capfd):
    """Run the command; trainings are only planned, because they would take days."""
    from training.cli import main

    monkeypatch.chdir(folder)
    # Hide this machine's data sets: a reader may have none.
    monkeypatch.setenv("TFDS_DATA_DIR", str(folder / "nothing"))
    if words[0] == "convert":  # a reader may not have PyTorch either; another tier installs it
        monkeypatch.setitem(sys.modules, "torch", None)
    if words[0] == "train" and len(words) > 1 and not {"--help", "--dry-run"} & set(words):
        # The existing run's folder would refuse another recipe.
        words = [each.replace("=runs/mine", "=runs/other") for each in words] + ["--dry-run"]
    if words[0] == "benchmark":
        words = [*words, "--rounds", "2"]  # by default, it measures for minutes
    code = main(words)
    out, err = capfd.readouterr()
    if expected := REFUSED.get(shlex.join(["lqz", *words])):
        assert code == 2 and expected in err
    else:
        assert code == 0, err
        assert out and "Traceback" not in err
