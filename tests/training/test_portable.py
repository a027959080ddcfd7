"""Training programs: n steps on JAX equal n of `lqz train`, and come back whole."""

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from training.configuration import configure_task
from training.data import philox
from training.portable import program as portable
from training.portable.program import ProgramRequest
from training.recipes.bireal_net import BiRealNet20
from training.recipes.reactnet import ReActNet20
from training.recipes.resnet import RealResNet20
from training.recipes.sdbnn import SDBNNResNet20
from training.recipes.xnornet_plus_plus import XNORNetPlusPlusResNet20
from zoo.errors import RunError
from zoo.models._resnet import CifarResNet20
from zoo.weights.files import read_arrays

pytest.importorskip("jax", reason="JAX 0.7 needs Python 3.11")

BOUND = 1e-9


@pytest.fixture(scope="module")
def runner():
    """`run.py` as a module; it lies beside `philox.py` in a program."""
    sys.modules["philox"] = philox
    spec = importlib.util.spec_from_file_location("program_run", Path(portable.HERE) / "run.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def short(monkeypatch):
    """One block a group: XLA compiles a third."""
    monkeypatch.setattr(CifarResNet20, "blocks", 1)


@pytest.fixture
def float64():
    """Keras computes in float64: what remains is rounding, and no sign turns by it."""
    before = tf.keras.backend.floatx()
    tf.keras.backend.set_floatx("float64")
    yield
    tf.keras.backend.set_floatx(before)


@pytest.fixture(scope="module")
def settings(tiny):
    left = ("teacher", "teacher.width", "teacher_epochs", "model", "schedule_every")
    few = {"epochs": 2, "tensorboard": False, "bfloat16": False, "learning_rate": 1e-2}
    return {**{k: v for k, v in tiny.items() if k not in left}, **few}


def go_on(runner, folder: Path, steps: int = 10**9) -> dict:
    """Run the program's next steps in this process; the state it leaves."""
    program = runner.Program(folder)
    end = min(program.loop["done_steps"] + steps, program.total_steps)
    count = iter(range(program.loop["done_steps"] + 1, 10**9))

    def stopping() -> bool:  # asked before each epoch and after each step
        return program.loop["done_steps"] >= end

    del count
    runner.Trainer(program).train(lambda text: None, float("inf"), stopping)
    return read_arrays(folder / "state.npz")


# Every family; labels, smoothed labels and a teacher; SGD and Adam; an estimator that moves.
TEACHER = {"teacher": "RealResNet20", "teacher.width": 0.25, "teacher_epochs": 1}
CASES = {
    "SDBNNResNet20": (SDBNNResNet20, {}),
    "BiRealNet20": (BiRealNet20, {"crop_epochs": 0}),
    "XNORNetPlusPlusResNet20": (XNORNetPlusPlusResNet20, {}),
    "RealResNet20": (RealResNet20, {"label_smoothing": 0.1}),
    "ReActNet20": (ReActNet20, {**TEACHER, "first_stage_epochs": 1}),
}


@pytest.mark.parametrize("name", CASES)
def test_programs_of_every_family_train_as_lqz_train_does(
    name, settings, runner, short, float64, tmp_path
):
    recipe, more = CASES[name]

    def make(directory: str):
        return configure_task(
            recipe, {**settings, **more, "output_dir": str(tmp_path / directory)}
        )

    here = make("here").run()
    elsewhere = make("elsewhere")
    folders = []
    taken = {}
    for number in range(1, 1 + len(here.results)):
        folders.append(tmp_path / f"program-{number}")
        assert elsewhere.train(program=ProgramRequest(folders[-1]), **taken) is None
        go_on(runner, folders[-1])
        taken = {"state": folders[-1]}
    there = elsewhere.train(**taken)
    for one, other in zip(here.results, there.results, strict=True):
        assert "JAX" in other.devices and "TensorFlow" in one.devices
        assert other.top1 == one.top1 and other.train_top1 == one.train_top1
    for expected in (tmp_path / "here").glob("*/*.npz"):
        found = read_arrays(tmp_path / "elsewhere" / expected.parent.name / expected.name)
        for key, value in read_arrays(expected).items():
            if value.dtype.kind == "f":
                np.testing.assert_allclose(found[key], value, rtol=0, atol=BOUND, err_msg=key)
