"""Shared set-up of all tests: Keras 2 before TensorFlow is imported, and a bound on memory."""

import gc
import os

import psutil
import pytest

from tests.small_networks import small_networks

os.environ["TF_USE_LEGACY_KERAS"] = "1"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# No test connects to other machines; tests that start a server change this.
os.environ["ZOO_OFFLINE"] = "1"
os.environ.pop("ZOO_WEIGHTS_MIRROR", None)

# TensorFlow's graphs are many long-lived objects: collecting garbage often took a tenth of the
# tests' time.
gc.set_threshold(200_000, 50, 50)

most_memory = 3 * 2**30  # bytes
# Freed memory is not returned to the system. Once the peak is high, a collection after every test
# would take a third of the tests' time.
MORE_MEMORY = 2**30


@pytest.hookimpl(tryfirst=True)  # before pytest deselects the other tiers
def pytest_collection_modifyitems(items):
    """Fail if a test has the marks of two tiers: both would run it."""
    from tools.run_tests import TIERS

    marks = {tier.arguments[1] for tier in TIERS.values() if tier.arguments[0] == "-m"}
    for item in items:
        found = sorted(marks & {mark.name for mark in item.iter_markers()})
        if len(found) > 1:
            raise pytest.UsageError(f"{item.nodeid} is in two tiers: {' and '.join(found)}.")


@pytest.fixture(autouse=True, scope="session")
def _empty_cache(tmp_path_factory):
    """Keep the tests away from the user's cache of weights."""
    os.environ["ZOO_HOME"] = str(tmp_path_factory.mktemp("zoo_home"))


@pytest.fixture(scope="module", name="small_networks")
def _small_networks():
    """Make the networks of a module small, as `tests.small_networks` says."""
    with small_networks():
        yield


@pytest.fixture(scope="module")
def short_quicknet():
    """Give larq-zoo's QuickNets one block per section: half of their layers."""
    from larq_zoo.sota.quicknet import QuickNetFactory

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(QuickNetFactory.section_blocks, "_default", (1, 1, 1, 1))
        yield


@pytest.fixture
def three_blocks(monkeypatch):
    """Give the ResNet-20s of one test their real size, in a module with `small_networks`."""
    from zoo.models._resnet import CifarResNet20

    monkeypatch.setattr(CifarResNet20, "blocks", 3)
    monkeypatch.setattr(CifarResNet20, "filters", (16, 32, 64))


@pytest.fixture
def home(tmp_path, tmp_path_factory, monkeypatch):
    """An empty ZOO_HOME, made at the first write, and a package without weights."""
    from zoo.pretrained import cache, records

    monkeypatch.setenv("ZOO_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(cache, "SHIPPED", tmp_path / "shipped")
    none = tmp_path_factory.mktemp("shipped") / "records.json"
    none.write_text("[]")
    monkeypatch.setattr(records, "SHIPPED_RECORDS", none)
    records.forget()
    yield tmp_path / "home"
    monkeypatch.undo()
    records.forget()


@pytest.fixture
def lqz(capfd, home, tmp_path, monkeypatch):
    """Run `lqz` in this process, in an empty folder; return exit code, stdout and stderr."""
    from training import cli

    monkeypatch.chdir(tmp_path)

    def run(*args):
        code = cli.main([str(arg) for arg in args])
        out, err = capfd.readouterr()
        return code, out, err

    return run


@pytest.fixture(autouse=True)
def bounded_memory():
    """Free the models of earlier tests, which Keras keeps in its graph and in cycles.

    TensorFlow keeps the gradient functions of custom gradients in a graph for ever, and each keeps
    its graph and tensors: 40 to 90 MB for every binary model.
    """
    global most_memory
    yield
    if psutil.Process().memory_info().rss > most_memory:
        import tensorflow as tf
        from tensorflow.python.framework.ops import gradient_registry

        tf.keras.backend.clear_session()
        for name in list(gradient_registry._registry):
            if name.startswith("CustomGradient-"):
                del gradient_registry._registry[name]
        gc.collect()
        most_memory = max(most_memory, psutil.Process().memory_info().rss + MORE_MEMORY)
