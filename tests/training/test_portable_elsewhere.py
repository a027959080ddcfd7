"""Programs without TensorFlow, in a separate environment with the newest JAX."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from training.cli import main
from zoo.weights.files import read_arrays

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("small_networks")]
pytest.importorskip("jax", reason="JAX beside TensorFlow 2.19 needs Python 3.11")

EPOCHS = 40
SETTINGS = (
    "dataset=FashionMNIST",
    "preprocessing.padding=0",
    "preprocessing.flip=False",
    f"epochs={EPOCHS}",
    "batch_size=80",
    "dataset.train_split=train[:400]",
    "tensorboard=False",
)


@pytest.fixture(scope="module")
def python(tmp_path_factory) -> Path:
    """Python of an environment with only the newest JAX and Pillow."""
    root = tmp_path_factory.mktemp("jax")
    subprocess.run([sys.executable, "-m", "venv", root], check=True)
    install = [root / "bin" / "python", "-m", "pip", "install", "--quiet", "jax", "pillow"]
    subprocess.run(install, check=True)
    return root / "bin" / "python"


@pytest.fixture(scope="module")
def program(tmp_path_factory, small_networks) -> Path:
    """Epochs of five steps of a small network on some of the embedded images."""
    root = tmp_path_factory.mktemp("program")
    command = ["train", "SDBNNResNet20", *SETTINGS, f"output_dir={root / 'run'}"]
    assert main([*command, "--program", str(root / "program")]) == 0
    return root / "program"


def start(python: Path, *folders: Path, **options: str) -> subprocess.Popen:
    words = [word for name, value in options.items() for word in (f"--{name}", value)]
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    # JAX keeps what it compiled: the many starts of one program compile it once.
    environment |= {
        "JAX_COMPILATION_CACHE_DIR": str(python.parents[1] / "compiled"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    return subprocess.Popen(
        [python, folders[0] / "run.py", *folders, *words],
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment,
        cwd=folders[0].parent,
    )


def finish(process: subprocess.Popen) -> str:
    out, _ = process.communicate(timeout=900)
    assert process.returncode == 0, out
    return out


def assert_same(one: Path, other: Path) -> None:
    expected, found = read_arrays(one / "state.npz"), read_arrays(other / "state.npz")
    for key in expected.keys() - {"loop"}:
        np.testing.assert_array_equal(found[key], expected[key], err_msg=key)


@pytest.fixture(scope="module")
def whole(python, program, tmp_path_factory) -> Path:
    """The program after all its epochs, without an interruption."""
    folder = Path(shutil.copytree(program, tmp_path_factory.mktemp("whole") / "program"))
    out = finish(start(python, folder))
    assert out.count("epoch ") == EPOCHS and "All epochs are done" in out
    return folder


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL, signal.SIGTERM])
def test_a_program_goes_on_after_any_end(python, program, whole, how, tmp_path):
    folder = Path(shutil.copytree(program, tmp_path / "program"))
    process = start(python, folder)
    for line in process.stdout:
        if f"epoch 2/{EPOCHS}" in line:
            break
    time.sleep(1)  # within a later epoch
    process.send_signal(how)
    process.communicate(timeout=300)
    loop = json.loads(read_arrays(folder / "state.npz")["loop"].tobytes())
    assert 10 <= loop["done_steps"] < 5 * EPOCHS and len(loop["history"]) >= 2
    finish(start(python, folder))
    assert_same(whole, folder)
    assert not list(folder.glob(".*"))[1:]  # at most the temporary file of the killed process


@pytest.mark.timeout(1800)
def test_programs_run_side_by_side_until_their_time_is_up(python, program, tmp_path):
    one, two = (Path(shutil.copytree(program, tmp_path / name)) for name in ("one", "two"))
    out = finish(start(python, one, two, minutes="0.7"))
    assert "[one] SDBNNResNet20" in out and "[two] SDBNNResNet20" in out
    assert (one / "state.npz").exists() and (two / "state.npz").exists()


def test_the_state_that_the_newest_jax_left_comes_back(whole, capsys):
    run = whole.parent / "run"
    command = ["train", "SDBNNResNet20", *SETTINGS, f"output_dir={run}"]
    assert main([*command, "--from-program", str(whole)]) == 0
    assert "Saved: " in capsys.readouterr().out
    assert "JAX" in json.loads((run / "1-binary" / "result.json").read_text())["devices"]
