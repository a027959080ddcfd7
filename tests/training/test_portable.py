"""Training programs: n steps on JAX equal n steps of `lqz train`."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from tests.training.programs import as_program, go_on, last_stage, train_here
from training.portable.program import ProgramRequest, write_program
from training.recipes.bireal_net import BiRealNet20
from training.recipes.reactnet import ReActNet20
from training.recipes.resnet import RealResNet20
from training.recipes.sdbnn import SDBNNResNet20, SDBNNVGGSmall
from training.recipes.xnornet_plus_plus import XNORNetPlusPlusResNet20
from training.settings.configuration import configure_task
from zoo.weights.files import read_arrays

pytest.importorskip("jax", reason="JAX beside TensorFlow 2.19 needs Python 3.11")
pytestmark = pytest.mark.usefixtures("small_networks")

# Every family; SGD and Adam; labels and a teacher; an estimator that changes by epoch.
FAMILIES = {
    "SDBNNResNet20": SDBNNResNet20,
    "BiRealNet20": BiRealNet20,
    "XNORNetPlusPlusResNet20": XNORNetPlusPlusResNet20,
    "RealResNet20": RealResNet20,
    "ReActNet20": ReActNet20,
}

MORE = {
    "ReActNet20": {"teacher.width": 0.25, "teacher_epochs": 1, "teacher.weights": None},
    # Other state that changes from step to step.
    "BiRealNet20": {"ema": 0.9, "accumulate": 2, "gradient_clip": 1.0, "warmup_epochs": 1},
}

SHAPE = (32, 32, 3)
ROUNDING = 1e-3  # error of float32 after one step, relative to the step


@pytest.fixture
def float64():
    """Keras computes in float64, so its rounding flips no sign."""
    before = tf.keras.backend.floatx()
    tf.keras.mixed_precision.set_global_policy(None)  # otherwise the policy would override floatx
    tf.keras.backend.set_floatx("float64")
    yield
    tf.keras.backend.set_floatx(before)


def assert_close(found: dict, expected: dict, bound: float) -> None:
    for key, value in expected.items():
        np.testing.assert_allclose(found[key], value, rtol=0, atol=bound, err_msg=key)


@pytest.mark.parametrize("name", FAMILIES)
def test_steps_of_every_family_are_those_of_lqz_train(
    name, program_settings, runner, float64, tmp_path
):
    more = MORE.get(name, {})
    trainer = last_stage(
        configure_task(FAMILIES[name], {**program_settings, **more}), tmp_path / "stage"
    )
    assert (trainer.stage.teacher is None) == (name != "ReActNet20")
    folder = as_program(trainer, tmp_path / "program")
    found = go_on(runner, folder)
    start = read_arrays(folder / "start.npz")
    expected = train_here(trainer, epochs=2)
    assert_close(found, expected, 1e-9)
    moved = [key for key in expected if not np.array_equal(expected[key], start[key])]
    assert len(moved) > 0.9 * len(expected)


@pytest.mark.slow
def test_an_epoch_in_one_call_as_on_a_gpu_is_its_steps(program_settings, runner, float64, tmp_path):
    trainer = last_stage(configure_task(SDBNNResNet20, program_settings), tmp_path / "stage")
    steps = as_program(trainer, tmp_path / "steps")
    epochs = Path(shutil.copytree(steps, tmp_path / "epochs"))
    expected = go_on(runner, steps)
    runner.Trainer(runner.Program(epochs), whole_epochs=True).train(
        lambda text: None, float("inf"), lambda: False
    )
    found = read_arrays(epochs / "state.npz")
    assert found["position"] > 0
    assert_close(found, {k: v for k, v in expected.items() if k != "loop"}, 1e-9)


def photographs_of(settings) -> dict:
    """The images as photographs: Pillow cuts crops of any shape, and the step normalises them."""
    data = {k: v for k, v in settings.items() if not k.startswith("preproc")}
    return {**data, "preprocessing": "RandomResizedCropFlip", "preprocessing.input_shape": SHAPE}


@pytest.mark.slow
def test_steps_on_photographs_are_those_of_lqz_train(program_settings, runner, float64, tmp_path):
    recipe = configure_task(SDBNNResNet20, photographs_of(program_settings))
    trainer = last_stage(recipe, tmp_path / "stage")
    request = ProgramRequest(tmp_path / "program", part_bytes=2**20)
    write_program(request, trainer, digest="0", index=1, name="Test")
    go_on(runner, request.folder, steps=2)  # stops within the first epoch
    found = go_on(runner, request.folder)
    assert_close(found, train_here(trainer, epochs=2), 1e-9)


@pytest.mark.parametrize(
    "recipe",
    [
        SDBNNVGGSmall,  # with max pooling
        pytest.param(SDBNNResNet20, marks=pytest.mark.slow),
    ],
)
def test_the_first_step_in_float32_is_that_of_lqz_train(recipe, program_settings, runner, tmp_path):
    trainer = last_stage(configure_task(recipe, program_settings), tmp_path / "stage")
    tf.config.experimental.enable_op_determinism()  # as `lqz train` before it writes a program
    folder = as_program(trainer, tmp_path / "program")
    found, start = go_on(runner, folder, steps=1), read_arrays(folder / "start.npz")
    expected = train_here(trainer, epochs=1, steps=1)
    np.testing.assert_allclose(found["totals"], expected["totals"], rtol=1e-5)
    for key in trainer.step.variables():
        moved = np.abs(expected[key] - start[key]).max()
        # Only until a sign flips, which happens in the next steps.
        assert np.abs(found[key] - expected[key]).max() <= ROUNDING * moved, key
