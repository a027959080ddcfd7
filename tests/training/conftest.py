"""A tiny data set of real image files, and settings that train on it in seconds."""

import importlib.util
import os
import shutil
import socket
import subprocess
import sys
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from types import SimpleNamespace

import pytest
import tensorflow as tf

from tests.small_networks import small_networks
from training.data import FashionMNIST, philox, photographs
from training.portable import photograph_batches
from training.portable.program import HERE
from training.settings.configuration import configure_task

IMAGES = {"train": 40, "validation": 20}  # images of each of two classes
CLASSES = ("shirt", "trouser")


@pytest.fixture(scope="session")
def image_folder(tmp_path_factory) -> Path:
    """A folder of class folders: Fashion-MNIST's first two classes as PNG files."""
    root = tmp_path_factory.mktemp("images")
    left = {(split, label): n for split, n in IMAGES.items() for label in range(len(CLASSES))}
    for example in configure_task(FashionMNIST, {}).examples("train"):
        label = int(example["label"])
        split = next((split for split in IMAGES if left.get((split, label))), None)
        if split:
            left[split, label] -= 1
            folder = root / split / CLASSES[label]
            folder.mkdir(parents=True, exist_ok=True)
            tf.io.write_file(str(folder / f"{left[split, label]}.png"), example["image"])
        if not any(left.values()):
            return root
    raise AssertionError("the embedded data set has too few images")


@pytest.fixture(scope="session")
def tiny(image_folder) -> dict:
    """Settings of `lqz train ReActNet` that take two steps in each stage."""
    return {
        "dataset": "ImageFolder",
        "dataset.data_dir": str(image_folder),
        "preprocessing": "PadCropFlip",
        "preprocessing.input_shape": (28, 28, 1),
        "preprocessing.padding": 2,
        "model": "ReActNet20",
        "teacher": "RealResNet20",
        "teacher.width": 0.25,
        "teacher_epochs": 1,
        "epochs": 1,
        "batch_size": 40,
        "schedule_every": "step",
    }


@pytest.fixture(scope="session")
def lqz() -> SimpleNamespace:
    """The real command: `lqz.start(...)` returns the process; `lqz.run(...)` waits for its end.

    Further keywords are environment variables.
    """
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root), "PYTHONUNBUFFERED": "1"}

    def start(cwd: Path, task: str, settings: dict, **variables: str) -> subprocess.Popen:
        words = [f"{key}={value}" for key, value in settings.items()]
        return subprocess.Popen(
            [sys.executable, "-m", "training", "train", task, *words],
            cwd=cwd,
            env={**environment, **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(cwd: Path, task: str, settings: dict, **variables: str) -> subprocess.CompletedProcess:
        process = start(cwd, task, settings, **variables)
        out, err = process.communicate(timeout=280)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    return SimpleNamespace(start=start, run=run)


@pytest.fixture(scope="session")
def free_ports():
    """Return this number of unused ports of this machine."""
    return _free_ports


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


@pytest.fixture(scope="session")
def finished(tiny, tmp_path_factory) -> SimpleNamespace:
    """One run of all stages in this process, and its output.

    Its networks are small, as in tests with `small_networks`.
    """
    from training.recipes.reactnet import ReActNet

    settings = {**tiny, "output_dir": str(tmp_path_factory.mktemp("run") / "run")}

    def make() -> ReActNet:
        return configure_task(ReActNet, settings)

    printed = StringIO()
    with redirect_stdout(printed), small_networks():
        run = make().run()
    return SimpleNamespace(run=run, settings=settings, make=make, printed=printed.getvalue())


@pytest.fixture(scope="session")
def program_settings(tiny, image_folder, tmp_path_factory) -> dict:
    """Two epochs of two steps on a few real images, cropped and flipped."""
    batch = 4
    few = tmp_path_factory.mktemp("few")
    shutil.copytree(image_folder, few, dirs_exist_ok=True)
    for file in (few / "train").glob("*/*.png"):
        if int(file.stem) >= batch:  # XLA's convolutions in float64 are slow
            file.unlink()
    data = {k: v for k, v in tiny.items() if k.startswith(("dataset", "preproc"))}
    return {
        **data,
        "dataset.data_dir": str(few),
        "batch_size": batch,
        "epochs": 2,
        "crop_epochs": 0,
        "tensorboard": False,
        "bfloat16": False,
        "learning_rate": 1e-2,
    }


@pytest.fixture(scope="session")
def runner(tmp_path_factory):
    """The script of training programs, `run.py`, as a module; it compiles a program once."""
    if importlib.util.find_spec("jax"):  # Python 3.10 has none beside TensorFlow 2.19
        import jax

        jax.config.update("jax_compilation_cache_dir", str(tmp_path_factory.mktemp("compiled")))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    # The files beside it in a program.
    sys.modules.update(philox=philox, photographs=photographs)
    sys.modules["photograph_batches"] = photograph_batches
    for name in ("program_files", "run"):
        spec = importlib.util.spec_from_file_location(name, HERE / f"{name}.py")
        sys.modules[name] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return module
