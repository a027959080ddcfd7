"""Training programs as files: stopped and continued, written and taken back, wrong ones refused."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.training.programs import as_program, go_on, last_stage
from training.cli import main
from training.portable.take_back import ProgramState
from training.recipes import _recipe
from training.recipes.sdbnn import SDBNNResNet20
from training.settings.configuration import configure_task
from zoo.errors import RunError
from zoo.weights.files import read_arrays, write_arrays

pytest.importorskip("jax", reason="JAX beside TensorFlow 2.19 needs Python 3.11")
pytestmark = pytest.mark.usefixtures("small_networks")


@pytest.fixture(scope="module")
def written(program_settings, tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("written")
    trainer = last_stage(configure_task(SDBNNResNet20, program_settings), root / "stage")
    return as_program(trainer, root / "program")


@pytest.fixture
def program(written, tmp_path) -> Path:
    """Copy a program that has not run."""
    return Path(shutil.copytree(written, tmp_path / "program"))


def test_an_interrupted_program_equals_one_that_was_not(program, runner, tmp_path):
    parts = Path(shutil.copytree(program, tmp_path / "parts"))
    expected = go_on(runner, program)
    go_on(runner, parts, steps=2)  # stops within the first epoch
    found = go_on(runner, parts)
    for key in expected.keys() - {"loop"}:
        np.testing.assert_array_equal(found[key], expected[key], err_msg=key)


def test_a_run_goes_through_a_program_and_says_so(
    program_settings, runner, tmp_path, capsys, monkeypatch
):
    run, folder = tmp_path / "run", tmp_path / "program"
    words = [
        f"{key}={_text(value)}" for key, value in program_settings.items() if key != "bfloat16"
    ]
    command = ["train", "SDBNNResNet20", *words, f"output_dir={run}"]
    monkeypatch.setattr(_recipe, "cpu_multiplies_bfloat16", lambda: True)
    assert main([*command, "--program", str(folder)]) == 0
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["bfloat16"] is False  # this CPU would train in bfloat16
    start = read_arrays(folder / "start.npz")  # the optimizer's zeros take no space
    assert (folder / "start.npz").stat().st_size < 0.7 * sum(x.nbytes for x in start.values())
    assert sorted(path.name for path in folder.iterdir()) == [
        "images",
        "manifest.json",
        "philox.py",
        "photograph_batches.py",
        "photographs.py",
        "program_files.py",
        "run.py",
        "start.npz",
        "step.stablehlo",
        "tables.npz",
    ]
    go_on(runner, folder)
    capsys.readouterr()
    assert main([*command, "--from-program", str(folder)]) == 0
    assert "top-1 of 40" in capsys.readouterr().out
    result = json.loads((run / "1-binary" / "result.json").read_text())
    assert result["devices"].startswith("1-2 on cpu, JAX ") and result["epochs"] == 2
    log = (run / "1-binary" / "log.csv").read_text().splitlines()
    assert "device" in log[0] and "JAX" in log[1] and len(log) == 3
    assert json.loads((run / "config.json").read_text())["devices"] == {"binary": result["devices"]}
    assert main(command) == 0  # finished; the note in config.json changes no recipe


def _text(value) -> str:
    return str(value).replace(" ", "")


def test_wrong_files_end_a_program_with_one_sentence(program):
    def error() -> str:
        command = [sys.executable, str(program / "run.py")]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        assert done.returncode == 2 and not done.stdout
        assert done.stderr.startswith("Error: ") and done.stderr.count("\n") == 1
        return done.stderr

    tables = program / "tables.npz"
    content = tables.read_bytes()
    tables.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert "tables.npz is damaged: its hash" in error()
    tables.write_bytes(b"")
    assert "tables.npz is empty. Copy it anew." in error()
    tables.unlink()
    assert "tables.npz is missing" in error()
    tables.write_bytes(content)
    for wrong in (b"PK", b"", b"\x93NUMPY"):
        (program / "state.npz").write_bytes(wrong)
        assert "state.npz is damaged: delete it" in error()
    arrays = read_arrays(program / "start.npz")
    loop = json.loads(arrays.pop("loop").tobytes())
    for other in ({**loop, "whose": "1 binary"}, loop):
        of_other = arrays if other is not loop else {"model/other/kernel": np.zeros(3)}
        text = np.frombuffer(json.dumps(other).encode(), np.uint8)
        write_arrays(program / "state.npz", {**of_other, "loop": text})
        assert "state.npz belongs to another program" in error()
    (program / "manifest.json").write_text("{")
    assert "holds no program" in error()


def test_a_state_that_does_not_fit_is_refused(program, tmp_path, capsys):
    data = "dataset=FashionMNIST"
    command = ["train", "SDBNNResNet20", data, f"output_dir={tmp_path / 'run'}", "--from-program"]

    def error(folder: Path) -> str:
        assert main([*command, str(folder)]) == 2
        captured = capsys.readouterr()
        assert captured.err.startswith("Error: ") and captured.err.count("\n") == 1
        assert not (tmp_path / "run").exists()
        return captured.err

    assert "holds no training program" in error(tmp_path)
    assert "belongs to recipe 0" in error(program)
    manifest = json.loads((program / "manifest.json").read_text())
    recipe = configure_task(SDBNNResNet20, {"dataset": "FashionMNIST"})
    (program / "manifest.json").write_text(json.dumps({**manifest, "recipe": recipe.digest}))
    assert "has not run yet" in error(program)
    arrays = read_arrays(program / "start.npz")
    kernel = "model/conv1/kernel"
    arrays[kernel] = np.full_like(arrays[kernel], np.nan)
    write_arrays(program / "state.npz", arrays)
    assert "holds NaN or infinity (model/conv1/kernel)" in error(program)
    (program / "state.npz").write_bytes(b"no archive")
    assert "state.npz is damaged" in error(program)


def test_the_state_of_another_program_is_refused(program_settings, written, tmp_path):
    """Two seeds have equal shapes."""
    trainer = last_stage(configure_task(SDBNNResNet20, program_settings), tmp_path / "stage")
    state = ProgramState(written, "binary", *trainer._state())
    trainer.whose = "1 binary"
    state.loop["whose"] = "2 binary"
    with pytest.raises(RunError, match="belongs to another program"):
        state.take_back(trainer)
    state.loop["whose"] = "1 binary"
    state.take_back(trainer)


@pytest.mark.slow
def test_a_program_survives_the_end_of_its_reader(runner, program):
    """Its output is a closed pipe, as after Ctrl-C in `run.py | tee log`."""
    command = [sys.executable, str(program / "run.py")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.close()
    _, errors = process.communicate(timeout=240)
    assert process.returncode == 0 and b"Traceback" not in errors
    assert runner.Program(program).loop["done_steps"] == 4


def test_a_program_is_not_written_over_another(program, capsys, tmp_path):
    command = ["train", "SDBNNResNet20", f"output_dir={tmp_path / 'run'}"]
    assert main([*command, "--program", str(program)]) == 2
    assert "already holds a program" in capsys.readouterr().err
    assert main([*command, "--images", "x"]) == 2
    assert "--images goes with --program" in capsys.readouterr().err
    assert main([*command, "--program", str(tmp_path / "new"), "--part-mib", "0"]) == 2
    assert "0 is not in the range x>=1" in capsys.readouterr().err
