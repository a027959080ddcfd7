"""Checkpoints are complete or absent; if the newest is damaged, the previous one is used."""

import errno

import numpy as np
import pytest

from training.loop.checkpoint import Checkpoints
from zoo.errors import RunError
from zoo.files import write_atomically


def save(checkpoints, step):
    checkpoints.save(step, {"w": np.full(3, step, np.float32)}, {"done_steps": step})


def test_round_trip_keeps_two(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    assert checkpoints.load(pytest.fail) is None
    for step in (1, 2, 3):
        save(checkpoints, step)
    arrays, loop = checkpoints.load(pytest.fail)
    np.testing.assert_array_equal(arrays["w"], [3, 3, 3])
    assert arrays["w"].dtype == np.float32 and loop == {"done_steps": 3}
    assert sorted(p.name for p in tmp_path.glob("step-*")) == [
        "step-000000002.npz",
        "step-000000003.npz",
    ]


@pytest.mark.parametrize("damage", ["truncated", "flipped", "missing"])
def test_damaged_newest_is_named_and_the_previous_used(tmp_path, damage):
    checkpoints = Checkpoints(tmp_path)
    save(checkpoints, 1)
    save(checkpoints, 2)
    newest = tmp_path / "step-000000002.npz"
    content = bytearray(newest.read_bytes())
    if damage == "missing":
        newest.unlink()
    elif damage == "truncated":
        newest.write_bytes(content[:100])
    else:
        content[len(content) // 2] ^= 1
        newest.write_bytes(content)
    complaints = []
    _, loop = checkpoints.load(complaints.append)
    assert loop == {"done_steps": 1}
    assert len(complaints) == 1 and newest.name in complaints[0]


def test_where_none_is_whole_nothing_is_begun_anew(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    save(checkpoints, 1)
    next(tmp_path.glob("step-*")).unlink()
    complaints = []
    with pytest.raises(RunError, match=r"No complete checkpoint is left; remove .* from its start"):
        checkpoints.load(complaints.append)
    index = tmp_path / "checkpoints.json"
    index.write_text(index.read_text().replace("step-", "../step-"))
    with pytest.raises(RunError, match=r"No complete checkpoint"):
        checkpoints.load(complaints.append)
    assert "which is not a checkpoint" in complaints[-1]
    (tmp_path / "checkpoints.json").write_text("[{")
    with pytest.raises(RunError, match=r"checkpoints\.json is damaged; remove"):
        checkpoints.load(pytest.fail)


def test_a_failed_write_leaves_what_was_there(tmp_path):
    path = tmp_path / "file"
    write_atomically(path, lambda file: file.write(b"before"))

    def full_disk(file):
        file.write(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        write_atomically(path, full_disk)
    assert path.read_bytes() == b"before" and list(tmp_path.iterdir()) == [path]


def test_weights_that_are_no_numbers_are_passed_over(tmp_path):
    checkpoints, complaints = Checkpoints(tmp_path), []
    checkpoints.save(1, {"a": np.ones(3, np.float32)}, {"done_steps": 1})
    checkpoints.save(2, {"a": np.array([1, np.nan], np.float32)}, {"done_steps": 2})
    _, loop = checkpoints.load(complaints.append)
    assert loop == {"done_steps": 1} and "holds NaN or infinity" in complaints[0]
    _, loop = checkpoints.load(complaints.append, {"done_steps": int})
    assert loop == {"done_steps": 1}
    with pytest.raises(RunError, match="No complete checkpoint"):
        checkpoints.load(complaints.append, {"done_steps": str})
