"""Real processes that are stopped: the same command ends with an uninterrupted run's result."""

import json
import random
import signal
import time

import pytest

from zoo.files import sha256

# Other state that changes from step to step.
MOVING = {"ema": 0.9, "accumulate": 2, "gradient_clip": 1.0, "warmup_epochs": 1}


@pytest.fixture(scope="module")
def settings(tiny) -> dict:
    """Several steps per epoch and epochs per stage, with a checkpoint after every call."""
    return {
        **tiny,
        **MOVING,
        "batch_size": 8,
        "epochs": 2,
        "teacher_epochs": 2,
        "tensorboard": False,
        "checkpoint_minutes": 0,
    }


def hashes(directory) -> dict[str, str]:
    """Return the sha256 of every stage's weights, on disk and as recorded."""
    found = {}
    for path in sorted(directory.glob("*/result.json")):
        result = json.loads(path.read_text())
        assert sha256(path.parent / result["weights"]) == result["sha256"]
        found[result["name"]] = result["sha256"]
    return found


def metrics(directory) -> dict[str, list]:
    """Return the columns of every stage's log that do not depend on the clock."""
    return {
        path.parent.name: [line.split(",")[:7] for line in path.read_text().splitlines()]
        for path in sorted(directory.glob("*/log.csv"))
    }


@pytest.fixture(scope="module")
def uninterrupted(lqz, settings, tmp_path_factory):
    directory = tmp_path_factory.mktemp("uninterrupted") / "run"
    done = lqz.run(directory.parent, "ReActNet", {**settings, "output_dir": directory})
    assert done.returncode == 0, done.stderr
    return directory


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_ctrl_c_keeps_a_checkpoint_and_the_same_command_ends_the_same(
    lqz, settings, uninterrupted, tmp_path
):
    directory = tmp_path / "run"
    process = lqz.start(tmp_path, "ReActNet", {**settings, "output_dir": directory})
    wait_for(directory / "1-teacher" / "checkpoints.json", process)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130 and "Traceback" not in err
    assert "Stopped in stage 'teacher'" in out and "The same command continues" in out
    done = lqz.run(tmp_path, "ReActNet", {**settings, "output_dir": directory})
    assert done.returncode == 0 and "Continuing stage 'teacher'" in done.stdout
    assert hashes(directory) == hashes(uninterrupted)
    assert metrics(directory) == metrics(uninterrupted)


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_killed_at_random_in_every_stage_it_ends_bit_equal(lqz, settings, uninterrupted, tmp_path):
    directory = tmp_path / "run"
    draw = random.Random(0)
    kills = 0
    for stage in ("1-teacher", "2-binary-activations", "3-binary"):
        for _ in range(2):
            process = lqz.start(tmp_path, "ReActNet", {**settings, "output_dir": directory})
            wait_for(directory / stage / "checkpoints.json", process)
            time.sleep(draw.uniform(0, 0.5))
            kills += process.poll() is None
            process.kill()
            process.communicate()
    assert kills >= 4  # otherwise the stages ended before the signal came
    done = lqz.run(tmp_path, "ReActNet", {**settings, "output_dir": directory})
    assert done.returncode == 0, done.stderr
    assert hashes(directory) == hashes(uninterrupted)
    assert metrics(directory) == metrics(uninterrupted)


def wait_for(path, process, seconds: float = 200) -> None:
    """Wait until `path` exists or the process has ended."""
    end = time.monotonic() + seconds
    while not path.exists() and process.poll() is None:
        assert time.monotonic() < end, f"{path.name} did not appear"
        time.sleep(0.02)
