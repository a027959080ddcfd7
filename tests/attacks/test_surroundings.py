"""The process's surroundings: streams, limits, environment, paths."""

import os
import resource
import shutil
import subprocess

import numpy as np
import pytest

from tests.attacks.command import weights_of


def closing(*numbers):
    def close():
        for number in numbers:
            os.close(number)

    return close


def limited(kind, value):
    return lambda: resource.setrlimit(kind, (value, value))


# --- streams --------------------------------------------------------------------------------------


@pytest.mark.parametrize("closed", [(1,), (0, 1, 2)])
def test_closed_streams(lqz, undisturbed, closed):
    process = lqz.start_train(before=closing(*closed), stdout=None, stderr=subprocess.DEVNULL)
    lqz.end_of(process).held()
    assert weights_of(lqz.folder / "run") == weights_of(undisturbed)


def test_closed_stdout_of_a_table(lqz):
    lqz.run("list", before=closing(1), stdout=None).held()


def test_a_reader_that_leaves_a_training(lqz, undisturbed):
    process = lqz.start_train()
    process.stdout.readline()
    process.stdout.close()
    process.stdout = None
    lqz.end_of(process).held()
    assert weights_of(lqz.folder / "run") == weights_of(undisturbed)


@pytest.mark.parametrize("words", [("list",), ("list", "--weights"), ("train",)])
def test_head(lqz, words):
    process = lqz.start(*words)
    process.stdout.close()
    process.stdout = None
    done = lqz.end_of(process)
    assert "Traceback" not in done.err and "BrokenPipe" not in done.err, done.err


def test_a_full_standard_output(lqz, undisturbed):
    with open("/dev/full", "w") as full:
        lqz.end_of(lqz.start_train(stdout=full)).held()
    assert weights_of(lqz.folder / "run") == weights_of(undisturbed)
    with open("/dev/full", "w") as full:
        done = lqz.end_of(lqz.start("list", stdout=full))
    assert done.code == 2 and "Traceback" not in done.err


@pytest.mark.parametrize(
    "env",
    [
        {"LANG": "C", "LC_ALL": "C"},
        {"PYTHONIOENCODING": "ascii"},
        {"HOME": None, "XDG_CACHE_HOME": None},
        {"HOME": "/nonexistent"},
        {"TERM": "nonsense", "COLUMNS": "0"},
    ],
)
def test_environment(lqz, undisturbed, env):
    for split in ("train", "val"):
        folder = lqz.folder / "photos" / split
        (folder / "bars").rename(folder / "bärs 漢")
    lqz.train(env=env).held()
    # The file contains its class names, and so differs.
    ours, theirs = (
        np.load(run / "1-real" / "realresnet20.npz") for run in (lqz.folder / "run", undisturbed)
    )
    assert set(ours) == set(theirs)
    for key in theirs:
        if theirs[key].dtype.kind == "f":
            np.testing.assert_array_equal(ours[key], theirs[key])


def test_a_user_without_an_entry(lqz, undisturbed):
    if os.geteuid() or not shutil.which("setpriv"):
        pytest.skip("another user needs root and setpriv")
    keep = "+dac_override,+dac_read_search,+fowner"
    prefix = [
        "setpriv",
        "--reuid=54321",
        "--clear-groups",
        f"--inh-caps={keep}",
        f"--ambient-caps={keep}",
    ]
    lqz.train(prefix=prefix, env={"HOME": None}).held()
    assert weights_of(lqz.folder / "run") == weights_of(undisturbed)


def test_a_working_directory_that_was_removed(lqz):
    gone = lqz.folder / "gone"

    def leave():
        gone.mkdir()
        os.chdir(gone)
        os.rmdir(gone)

    lqz.run("list", before=leave).held()
    done = lqz.run("train", "RealResNet20", {**lqz.settings, "output_dir": "run"}, before=leave)
    done.refused()


# --- limits ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("gib", "held"), [(0.5, False), (2, False), (8, True)])
def test_few_addresses(lqz, gib, held):
    done = lqz.train(before=limited(resource.RLIMIT_AS, int(gib * 2**30)))
    done.held() if held else done.refused("ulimit -v")


@pytest.mark.parametrize(("files", "held"), [(24, False), (256, True)])
def test_few_open_files(lqz, files, held):
    done = lqz.train(before=limited(resource.RLIMIT_NOFILE, files))
    done.held() if held else done.refused("ulimit -n")


@pytest.mark.parametrize("size", [0, 1000, 100_000])
def test_small_files_only(lqz, size):
    lqz.train(before=limited(resource.RLIMIT_FSIZE, size)).refused("too large" if size else "")
    lqz.train().held()


def test_small_files_only_in_an_export(lqz):
    done = lqz.run(
        "export",
        "ReActNet20",
        "weights=None",
        "--format",
        "c",
        "-o",
        "made",
        before=limited(resource.RLIMIT_FSIZE, 20_000),
    )
    done.refused()
    assert not (lqz.folder / "made").exists()


# --- paths and variables --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["~nosuchuser/run", "/" + "long/" * 1000, "x" * 5000, "/proc/run", "/dev/null/run"]
)
@pytest.mark.parametrize("key", ["output_dir", "dataset.data_dir"])
def test_paths(lqz, key, path):
    lqz.train({key: path}).refused()


@pytest.mark.parametrize(
    "words",
    [
        ("predict", "ReActNet20", "~nosuchuser/x.png"),
        ("export", "~nosuchuser/x.keras", "--format", "c", "-o", "x"),
    ],
)
def test_paths_of_commands(lqz, words):
    lqz.run(*words).refused()


@pytest.mark.parametrize(
    "text",
    [
        "null",
        "[" * 100_000,
        '{"cluster": 1, "task": {}}',
        '{"cluster": {"worker": ["a:99999", "b:1"]}, "task": {"type": "worker", "index": 0}}',
        '{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 1e999}}',
        '{"cluster": {"worker": {"a": 1}}, "task": {"type": "\\u001b[31m", "index": 0}}',
    ],
)
def test_bad_tf_config(lqz, text):
    done = lqz.train(env={"TF_CONFIG": text}).refused("TF_CONFIG")
    assert "\x1b" not in done.err


@pytest.mark.parametrize(
    "variables",
    [
        {"STEP_NUM_TASKS": "many"},
        {"STEP_NUM_TASKS": "2", "JOB_ID": "1.5"},
        {"STEP_NUM_TASKS": "2", "STEP_NODELIST": "[", "STEP_TASKS_PER_NODE": "x", "PROCID": "0"},
    ],
)
def test_bad_slurm(lqz, variables):
    lqz.train(env={f"SLURM_{key}": value for key, value in variables.items()}).refused("SLURM")


@pytest.mark.parametrize("mirror", ["ftp://x", "http://", "http://[", "http://a:b"])
def test_a_mirror_that_is_no_address(lqz, mirror):
    done = lqz.run(
        "summary",
        "ReActNetA",
        "weights=imagenet",
        env={"ZOO_WEIGHTS_MIRROR": mirror, "ZOO_OFFLINE": None, "http_proxy": None},
    )
    done.refused()
