"""The package from outside: the effects of its import, its names, and the built wheel."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import zoo
from zoo.errors import UnknownNameError

ROOT = Path(__file__).parents[2]


def python(code, keras=None, silent=False):
    """Return the output of a new interpreter; `keras` is TF_USE_LEGACY_KERAS, by default unset.

    With `silent`, nothing may be written to standard error, at TensorFlow's default log level.
    """
    environment = {k: v for k, v in os.environ.items() if k != "TF_USE_LEGACY_KERAS"}
    environment |= {"TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": str(ROOT)}
    if silent:
        del environment["TF_CPP_MIN_LOG_LEVEL"]
    if keras is not None:
        environment["TF_USE_LEGACY_KERAS"] = keras
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not silent or done.stderr == ""
    return done.stdout


def test_a_first_prediction_prints_nothing_of_its_own():
    code = """
import zoo
import numpy as np
model = zoo.ReActNet20()
print(model.predict(np.zeros((1, 32, 32, 3), "float32"), verbose=0).shape)
"""
    assert python(code, silent=True) == "(1, 10)\n"


def test_importing_imports_no_tensorflow():
    code = """
import sys, zoo
zoo.list_models("react*"), zoo.catalog.row("QuickNet"), zoo.Profile, zoo.ZooError, dir(zoo)
print([name for name in ("tensorflow", "tf_keras", "keras", "larq", "larq_zoo", "zookeeper")
       if name in sys.modules])
"""
    assert python(code).strip() == "[]"


KERAS_3_FIRST = """
import tensorflow as tf
{first}
import zoo
def tried(action):
    try:
        return str(action())
    except zoo.ZooError as error:
        return f"{{type(error).__name__}}: {{error}}"
for action in (lambda: zoo.ReActNetA, lambda: zoo.get_model("QuickNet", weights=None),
               lambda: zoo.load_model("model.keras"), lambda: zoo.layers, lambda: zoo.weights,
               lambda: zoo.profile(tf.keras.Sequential())):
    print(tried(action))
"""


@pytest.mark.parametrize(
    ("keras", "first", "why"),
    [
        pytest.param("0", "tf.keras.Model", "is set to 0", marks=pytest.mark.slow),
        pytest.param("false", "", "is set to false", marks=pytest.mark.slow),
        pytest.param(None, "tf.keras.Model", "came too late", marks=pytest.mark.slow),
        (None, "from tensorflow.keras import Model", "came too late"),
    ],
)
def test_keras_3_already_active(keras, first, why):
    """Every function that needs TensorFlow says in one sentence which variable to set."""
    for line in python(KERAS_3_FIRST.format(first=first), keras).splitlines():
        assert line == (
            f"KerasVersionError: Keras 3 is already active (TF_USE_LEGACY_KERAS {why}): set the "
            "environment variable TF_USE_LEGACY_KERAS=1 before TensorFlow is imported, or import "
            "zoo first."
        )


def test_tensorflow_imported_first_but_its_keras_not_used():
    code = """
import tensorflow as tf
import zoo
model = zoo.RealResNet20(weights=None, width=0.25)
from tensorflow.keras.layers import Dense
print(model.output_shape, Dense is tf.keras.layers.Dense, Dense.__module__.split(".")[0])
"""
    assert python(code).strip() == "(None, 10) True tf_keras"


def test_unknown_names():
    with pytest.raises(AttributeError, match="no attribute 'ReactNetA'; did you mean 'ReActNetA'"):
        _ = zoo.ReactNetA
    with pytest.raises(ImportError, match=r"'ReactNetA' from 'zoo'; did you mean 'ReActNetA'\?"):
        from zoo import ReactNetA  # noqa: F401 (it must fail)
    with pytest.raises(ImportError, match="zzzz"):
        from zoo import zzzz  # noqa: F401 (it must fail)
    assert not hasattr(zoo, "ReactNetA")
    with pytest.raises(UnknownNameError, match="did you mean 'ReActNetA'"):
        zoo.get_model("ReactNet_A")


def test_every_listed_name_is_there():
    names = dir(zoo)
    assert names == sorted(set(names))
    assert {*zoo.__all__, "deploy", "layers", "quantizers", "weights"} <= set(names)
    assert all(getattr(zoo, name, None) is not None for name in names if name[0] != "_")
    assert zoo.ReActNetA.__name__ == "ReActNetA" and zoo.ReActNetA is zoo.ReActNetA


# --- the wheel ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built from a copy of the tree, which stays unchanged; this needs no network."""
    source, built = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in ("pyproject.toml", "setup.py", "README.md"):
        shutil.copy(ROOT / name, source)
    for name in ("zoo", "training", "tests", "benchmarks"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, source / name, ignore=ignored)
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(built)]
    done = subprocess.run(
        [*command, str(source)], capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    (path,) = built.glob("*.whl")
    return path


def files(package, *patterns):
    """Return the paths of a package's files, relative to the root."""
    found = {path for pattern in patterns for path in (ROOT / package).glob(pattern)}
    return {path.relative_to(ROOT).as_posix() for path in found if path.is_file()}


def test_wheel_holds_the_two_packages_and_their_data(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert {name.split("/")[0] for name in names} == {"zoo", "training"}
    modules = {name for name in names if name.endswith(".py")}
    assert modules == files("zoo", "**/*.py") | files("training", "**/*.py")
    embedded = files("training/data/embedded", "**/*")
    assert any(name.endswith("dataset_info.json") for name in embedded)
    assert names - modules == embedded | files("zoo/deploy/c/sources", "**/*") | {
        "zoo/catalog.csv",
        "zoo/__init__.pyi",
        "zoo/py.typed",
        "zoo/pretrained/records.json",
        *files("zoo/pretrained/shipped", "**/*"),
        "zoo/pretrained/imagenet_classes.csv",
        "training/figures.mplstyle",
    }


def test_wheel_has_the_version_of_the_package(wheel):
    assert wheel.name.startswith(f"binary_zoo-{zoo.__version__}-")


def test_wheel_installs_the_command(wheel):
    with zipfile.ZipFile(wheel) as archive:
        (entry,) = (name for name in archive.namelist() if name.endswith("entry_points.txt"))
        (top,) = (name for name in archive.namelist() if name.endswith("top_level.txt"))
        assert "lqz = training.cli:main" in archive.read(entry).decode()
        assert archive.read(top).decode().split() == ["training", "zoo"]
