"""Training programs: n steps on JAX equal n steps of `lqz train`, and `lqz train` continues."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from training.cli import main
from training.loop.distribution.workers import alone
from training.loop.run import Run
from training.loop.stage_trainer import StageTrainer, StopFlag
from training.loop.step import TrainStep
from training.portable.program import ProgramRequest, write_program
from training.portable.take_back import ProgramState
from training.recipes import _recipe
from training.recipes.bireal_net import BiRealNet20
from training.recipes.reactnet import ReActNet20
from training.recipes.resnet import RealResNet20
from training.recipes.sdbnn import SDBNNResNet20, SDBNNVGGSmall
from training.recipes.xnornet_plus_plus import XNORNetPlusPlusResNet20
from training.settings.configuration import configure_task
from zoo.errors import RunError
from zoo.weights.files import read_arrays, write_arrays

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
BATCH = 4
ROUNDING = 1e-3  # error of float32 after one step, relative to the step


@pytest.fixture
def float64():
    """Keras computes in float64, so its rounding flips no sign."""
    before = tf.keras.backend.floatx()
    tf.keras.mixed_precision.set_global_policy(None)  # otherwise the policy would override floatx
    tf.keras.backend.set_floatx("float64")
    yield
    tf.keras.backend.set_floatx(before)


@pytest.fixture(scope="module")
def settings(tiny, image_folder, tmp_path_factory):
    """Two epochs of two steps on a few real images, cropped and flipped."""
    few = tmp_path_factory.mktemp("few")
    shutil.copytree(image_folder, few, dirs_exist_ok=True)
    for file in (few / "train").glob("*/*.png"):
        if int(file.stem) >= BATCH:  # XLA's convolutions in float64 are slow
            file.unlink()
    data = {k: v for k, v in tiny.items() if k.startswith(("dataset", "preproc"))}
    return {
        **data,
        "dataset.data_dir": str(few),
        "batch_size": BATCH,
        "epochs": 2,
        "crop_epochs": 0,
        "tensorboard": False,
        "bfloat16": False,
        "learning_rate": 1e-2,
    }


def last_stage(recipe, directory: Path) -> StageTrainer:
    """Return the last stage of a recipe, with a teacher that was built but not trained."""
    execution = Run(recipe.plan(), alone())
    execution.decided = {"cache": "memory", "photographs": "pillow"}
    tf.keras.utils.set_random_seed(0)
    stages = {stage.name: stage for stage in recipe.planned_stages()}
    stage = replace(list(stages.values())[-1], initialize_from=None)
    teacher = stages[stage.teacher].build() if stage.teacher else None
    directory.mkdir()
    return StageTrainer(
        stage,
        TrainStep(stage, stage.build(), teacher),
        execution.pipeline(stage),
        directory,
        checkpoint_minutes=5,
        tensorboard=False,
        stop=StopFlag(),
    )


def as_program(trainer: StageTrainer, folder: Path) -> Path:
    write_program(ProgramRequest(folder), trainer, digest="0", index=1, name="Test")
    return folder


def train_here(
    trainer: StageTrainer, epochs: int, steps: int | None = None
) -> dict[str, np.ndarray]:
    """Make steps of `lqz train`; return everything that a checkpoint contains."""
    step = trainer.step
    for epoch in range(epochs):
        step.totals.assign(tf.zeros_like(step.totals))
        trainer.stage.each_epoch(step.model, epoch / trainer.stage.epochs)
        first = epoch * trainer.steps_per_epoch
        count = steps or trainer.steps_per_epoch
        rates = np.array([trainer._rate(first + i) for i in range(count)])
        step.run(iter(trainer.pipeline.train(epoch)), rates, first)
    return {key: variable.numpy() for key, variable in step.variables().items()}


def go_on(runner, folder: Path, steps: int = 10**9) -> dict[str, np.ndarray]:
    """Make at most `steps` steps of the program in this process; return its state."""
    program = runner.Program(folder)
    left = iter(range(steps))
    # Called before each epoch and after each step.
    asked = (lambda: next(left, None) is None) if steps < 10**9 else (lambda: False)
    runner.Trainer(program).train(lambda text: None, float("inf"), asked)
    return read_arrays(folder / "state.npz")


def assert_close(found: dict, expected: dict, bound: float) -> None:
    for key, value in expected.items():
        np.testing.assert_allclose(found[key], value, rtol=0, atol=bound, err_msg=key)


@pytest.mark.parametrize("name", FAMILIES)
def test_steps_of_every_family_are_those_of_lqz_train(name, settings, runner, float64, tmp_path):
    more = MORE.get(name, {})
    trainer = last_stage(configure_task(FAMILIES[name], {**settings, **more}), tmp_path / "stage")
    assert (trainer.stage.teacher is None) == (name != "ReActNet20")
    folder = as_program(trainer, tmp_path / "program")
    found = go_on(runner, folder)
    start = read_arrays(folder / "start.npz")
    expected = train_here(trainer, epochs=2)
    assert_close(found, expected, 1e-9)
    moved = [key for key in expected if not np.array_equal(expected[key], start[key])]
    assert len(moved) > 0.9 * len(expected)


@pytest.mark.slow
def test_an_epoch_in_one_call_as_on_a_gpu_is_its_steps(settings, runner, float64, tmp_path):
    trainer = last_stage(configure_task(SDBNNResNet20, settings), tmp_path / "stage")
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
def test_steps_on_photographs_are_those_of_lqz_train(settings, runner, float64, tmp_path):
    recipe = configure_task(SDBNNResNet20, photographs_of(settings))
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
def test_the_first_step_in_float32_is_that_of_lqz_train(recipe, settings, runner, tmp_path):
    trainer = last_stage(configure_task(recipe, settings), tmp_path / "stage")
    tf.config.experimental.enable_op_determinism()  # as `lqz train` before it writes a program
    folder = as_program(trainer, tmp_path / "program")
    found, start = go_on(runner, folder, steps=1), read_arrays(folder / "start.npz")
    expected = train_here(trainer, epochs=1, steps=1)
    np.testing.assert_allclose(found["totals"], expected["totals"], rtol=1e-5)
    for key in trainer.step.variables():
        moved = np.abs(expected[key] - start[key]).max()
        # Only until a sign flips, which happens in the next steps.
        assert np.abs(found[key] - expected[key]).max() <= ROUNDING * moved, key


def test_an_interrupted_program_equals_one_that_was_not(program, runner, tmp_path):
    parts = Path(shutil.copytree(program, tmp_path / "parts"))
    expected = go_on(runner, program)
    go_on(runner, parts, steps=2)  # stops within the first epoch
    found = go_on(runner, parts)
    for key in expected.keys() - {"loop"}:
        np.testing.assert_array_equal(found[key], expected[key], err_msg=key)


def test_a_run_goes_through_a_program_and_says_so(settings, runner, tmp_path, capsys, monkeypatch):
    run, folder = tmp_path / "run", tmp_path / "program"
    words = [f"{key}={_text(value)}" for key, value in settings.items() if key != "bfloat16"]
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


# --- programs and states that do not fit ----------------------------------------------------------


@pytest.fixture(scope="module")
def written(settings, tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("written")
    trainer = last_stage(configure_task(SDBNNResNet20, settings), root / "stage")
    return as_program(trainer, root / "program")


@pytest.fixture
def program(written, tmp_path) -> Path:
    """Copy a program that has not run."""
    return Path(shutil.copytree(written, tmp_path / "program"))


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


def test_the_state_of_another_program_is_refused(settings, written, tmp_path):
    """Two seeds have equal shapes."""
    trainer = last_stage(configure_task(SDBNNResNet20, settings), tmp_path / "stage")
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
