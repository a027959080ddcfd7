"""Several devices and machines: which take part, and that the weights equal those of one device."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from training.loop.distribution.cluster import Cluster, cluster_from_environment
from training.loop.distribution.workers import check_batch_size, connect
from training.recipes.reactnet import ReActNet
from training.settings.configuration import configure_task
from zoo.errors import InvalidValueError
from zoo.weights.files import read_npz

HOSTS = ("host1:12345", "host2:12345", "host3:12345")
ROUNDING = 1e-6  # tolerance of weights in float64, which these tests use
STAGES = ("1-teacher/realresnet20", "2-binary-activations/reactnet20", "3-binary/reactnet20")


@pytest.fixture(autouse=True)
def no_cluster(monkeypatch):
    for name in list(os.environ):
        if name == "TF_CONFIG" or name.startswith("SLURM_"):
            monkeypatch.delenv(name)


def tf_config(kind="worker", index=0, **jobs) -> str:
    jobs = jobs or {"worker": HOSTS}
    return json.dumps({"cluster": jobs, "task": {"type": kind, "index": index}})


# --- which devices take part ----------------------------------------------------------------------


def test_no_cluster_is_the_strategy_that_tensorflow_has_by_default(monkeypatch):
    for config in (None, "", "{}", tf_config(worker=HOSTS[:1])):
        if config is not None:
            monkeypatch.setenv("TF_CONFIG", config)
        workers = connect("auto")
        assert workers.strategy is tf.distribute.get_strategy()
        assert (workers.index, workers.count, workers.is_chief) == (0, 1, True)
    monkeypatch.setenv("TF_CONFIG", tf_config())
    assert connect("one_device").count == 1


def test_mirrored_is_a_strategy_of_this_machine():
    workers = connect("mirrored")
    assert isinstance(workers.strategy, tf.distribute.MirroredStrategy)
    assert workers.count == 1


def test_cluster_of_tf_config(monkeypatch):
    assert cluster_from_environment() is None
    monkeypatch.setenv("TF_CONFIG", tf_config(index=2))
    assert cluster_from_environment() == Cluster(HOSTS, 2)
    jobs = {"worker": HOSTS[1:], "chief": HOSTS[:1]}
    for kind, index, expected in (("chief", 0, 0), ("worker", 0, 1), ("worker", 1, 2)):
        monkeypatch.setenv("TF_CONFIG", tf_config(kind, index, **jobs))
        assert cluster_from_environment() == Cluster(HOSTS, expected)
    assert cluster_from_environment().others == "host1:12345, host2:12345"


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("nonsense", "must be JSON such as TF_CONFIG="),
        ("[]", "must be JSON such as"),
        ('{"cluster": {"worker": ["a:1", "b:1"]}}', "must be JSON such as"),
        (tf_config(index="x"), "must be JSON such as"),
        (tf_config(index=3), "task worker 3 is not in its cluster"),
        (tf_config("chief"), "task chief 0 is not in its cluster"),
        (tf_config(worker=["a:1", "b"]), "must be host:port without repetitions, not b"),
        (tf_config(worker=["a:1", "a:1"]), "must be host:port without repetitions, not a:1, a:1"),
        (tf_config(worker=HOSTS, ps=["a:1"]), "chief or worker, not ps"),
    ],
)
def test_wrong_tf_config_is_one_sentence(monkeypatch, config, message):
    monkeypatch.setenv("TF_CONFIG", config)
    with pytest.raises(InvalidValueError, match=message):
        connect("auto")


def test_cluster_of_slurm(monkeypatch):
    variables = {"JOB_ID": "7", "STEP_NUM_TASKS": "3", "PROCID": "2"}
    nodes = {"STEP_NODELIST": "gpu[08-09]", "STEP_TASKS_PER_NODE": "2,1"}
    for name, value in {**variables, **nodes}.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    expected = Cluster(("gpu08:12007", "gpu08:12008", "gpu09:12007"), 2)
    assert cluster_from_environment() == expected
    assert os.environ.get("CUDA_VISIBLE_DEVICES") == visible  # Slurm sets it
    monkeypatch.setenv("TF_CONFIG", tf_config())
    assert cluster_from_environment() == Cluster(HOSTS, 0)  # has priority
    monkeypatch.delenv("TF_CONFIG")
    monkeypatch.delenv("SLURM_STEP_NODELIST")
    with pytest.raises(
        InvalidValueError, match=r"Slurm's variables .* start the workers with srun"
    ):
        cluster_from_environment()


def test_a_batch_script_of_slurm_is_one_task(monkeypatch):
    monkeypatch.setenv("SLURM_NTASKS", "4")
    assert cluster_from_environment() is None


def test_strategies_that_cannot_be():
    with pytest.raises(InvalidValueError, match="strategy=multi_worker needs the addresses"):
        connect("multi_worker")


def test_a_batch_that_cannot_be_shared_equally():
    check_batch_size(8, 4)
    with pytest.raises(
        InvalidValueError, match=r"A batch of 10 .* over 4 devices: .* such as batch_size=8"
    ):
        check_batch_size(10, 4)


def test_where_it_computes_does_not_change_the_recipe(tiny):
    elsewhere = {"strategy": "mirrored", "rejoin_minutes": 1, "data_service": "grpc://a:1"}
    recipes = [configure_task(ReActNet, {**tiny, **more}) for more in ({}, elsewhere)]
    assert recipes[0].config == recipes[1].config
    assert recipes[0].directory == recipes[1].directory


# --- several workers ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def settings(tiny) -> dict:
    """Four steps of the teacher and two in each other stage, with a checkpoint after every call.

    The learning rate and the precision do not amplify rounding.
    """
    few = {"teacher_epochs": 2, "teacher_learning_rate": 0.01, "checkpoint_minutes": 0}
    return {**tiny, **few, "tensorboard": False, "rejoin_minutes": 3, "bfloat16": False}


@pytest.fixture(scope="module")
def float64(tmp_path_factory) -> dict[str, str]:
    """Environment with float64 in Keras, so that sums in another order differ little.

    In float32, rounding differences of these networks triple in each step, to 5e-4 after four.
    """
    home = tmp_path_factory.mktemp("keras")
    (home / "keras.json").write_text(json.dumps({"floatx": "float64"}))
    return {"KERAS_HOME": str(home)}


@pytest.fixture(scope="module")
def one(lqz, settings, float64, tmp_path_factory):
    """The files of a run with one worker."""
    directory = tmp_path_factory.mktemp("one") / "run"
    done = lqz.run(directory.parent, "ReActNet", {**settings, "output_dir": directory}, **float64)
    assert done.returncode == 0, done.stderr
    return directory


@pytest.fixture(scope="module")
def start_workers(lqz, settings, float64):
    """Start the processes of a cluster on loopback, or one of them (again)."""

    def start(cwd, ports, only=(0, 1), **more):
        addresses = [f"127.0.0.1:{port}" for port in ports]
        return [
            lqz.start(
                cwd,
                "ReActNet",
                {**settings, "output_dir": cwd / f"run{index}", **more},
                TF_CONFIG=tf_config(index=index, worker=addresses),
                **float64,
            )
            for index in only
        ]

    return start


@pytest.fixture(scope="module")
def two(start_workers, free_ports, tmp_path_factory):
    """The files and the output of a run with two workers."""
    cwd = tmp_path_factory.mktemp("two")
    ends = [process.communicate(timeout=600) for process in start_workers(cwd, free_ports(2))]
    return cwd, ends


def assert_same_weights(one: Path, other: Path, atol: float) -> None:
    for stage in STAGES:
        left, right = read_npz(one / f"{stage}.npz"), read_npz(other / f"{stage}.npz")
        assert left.keys() == right.keys()
        worst = {key: float(np.abs(left[key] * 1.0 - right[key]).max()) for key in left}
        assert max(worst.values()) <= atol, max(worst, key=worst.get)


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_two_workers_give_the_weights_of_one(one, two):
    """Weights are about 1 and changed by 1e-3 to 1e-1; logits and loss are float32."""
    cwd, (chief, other) = two
    assert_same_weights(one, cwd / "run0", atol=ROUNDING)
    assert "Saved: " in chief[0] and "Traceback" not in chief[1]
    assert other == ("", "")
    assert not (cwd / "run1").exists()  # only the chief writes
    for stage in sorted(one.glob("?-*")):
        mine, theirs = ((run / stage.name / "log.csv").read_text() for run in (one, cwd / "run0"))
        figures = zip(mine.splitlines(), theirs.splitlines(), strict=True)
        for left, right in figures:
            for a, b in zip(left.split(",")[:7], right.split(",")[:7], strict=True):
                assert a == b or float(a) == pytest.approx(float(b), rel=1e-4)


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_ctrl_c_on_one_stops_all_and_one_alone_can_continue(
    lqz, settings, float64, start_workers, free_ports, one, tmp_path
):
    processes = start_workers(tmp_path, free_ports(2))
    wait_for(tmp_path / "run0" / "1-teacher" / "checkpoints.json", processes)
    processes[1].send_signal(signal.SIGINT)
    ends = [process.communicate(timeout=300) for process in processes]
    assert [process.returncode for process in processes] == [130, 130], ends
    assert "Stopped in stage 'teacher'" in ends[0][0]
    again = {**settings, "output_dir": tmp_path / "run0"}
    done = lqz.run(tmp_path, "ReActNet", again, **float64)
    assert done.returncode == 0 and "Continuing stage 'teacher'" in done.stdout, done.stderr
    assert_same_weights(one, tmp_path / "run0", atol=ROUNDING)


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_workers_that_never_come_and_workers_with_other_settings(
    lqz, settings, start_workers, free_ports, tmp_path
):
    for alone in (0, 1):
        [process] = start_workers(tmp_path, free_ports(2), only=[alone], rejoin_minutes=0.2)
        _, err = process.communicate(timeout=300)
        assert process.returncode == 2 and "Traceback" not in err
        assert "Waiting for the other workers (127.0.0.1:" in err
        assert "did not connect within 0.2 minutes" in err
    # Two tasks of one Slurm step on this machine.
    step = {"JOB_ID": str(os.getpid()), "STEP_NUM_TASKS": "2"}
    step |= {"STEP_NODELIST": "localhost", "STEP_TASKS_PER_NODE": "2"}
    processes = [
        lqz.start(
            tmp_path,
            "ReActNet",
            {**settings, "output_dir": tmp_path / "run", "learning_rate": (5e-4, 1e-3)[task]},
            **{f"SLURM_{name}": value for name, value in {**step, "PROCID": str(task)}.items()},
        )
        for task in (0, 1)
    ]
    ends = [process.communicate(timeout=300) for process in processes]
    assert [process.returncode for process in processes] == [2, 2], ends
    assert (
        "settings differ from the chief's (learning_rate: 0.001 here, 0.0005 there)" in ends[1][1]
    )


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_two_devices_of_one_machine_give_the_weights_of_one(settings, float64, one, tmp_path):
    script = f"""
import zoo
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from training.loop.distribution.cluster import Cluster, cluster_from_environment
from training.settings.configuration import configure_task
from training.recipes.reactnet import ReActNet
settings = { ({**settings, "strategy": "mirrored", "output_dir": str(tmp_path / "run")})!r}
configure_task(ReActNet, settings).run()
assert tf.config.list_logical_devices("CPU")[1]
"""
    root = Path(__file__).parents[2]
    environment = {**os.environ, **float64}
    subprocess.run(
        [sys.executable, "-c", script], cwd=root, check=True, timeout=600, env=environment
    )
    assert_same_weights(one, tmp_path / "run", atol=ROUNDING)


def wait_for(path, processes, seconds: float = 200) -> None:
    """Wait until `path` exists or a process has ended."""
    end = time.monotonic() + seconds
    while not path.exists() and all(process.poll() is None for process in processes):
        assert time.monotonic() < end, f"{path.name} did not appear"
        time.sleep(0.02)
