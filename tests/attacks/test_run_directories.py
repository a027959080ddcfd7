"""The run's directory: shared, moved, damaged, exchanged, on a disk that fills."""

import json
import os
import random
import shutil
import signal
import subprocess
import time

import numpy as np
import pytest

from tests.attacks.command import (
    Command,
    checkpointed,
    nothing_left,
    small_disk,
    wait_until,
    weights_of,
)


@pytest.fixture(scope="session")
def half_done(photos, tmp_path_factory):
    """A run that was killed with two checkpoints, and the state of another seed."""
    folder = tmp_path_factory.mktemp("half")
    (folder / "photos").symlink_to(photos)
    for name, seed in (("run", 0), ("other", 5)):
        process = Command(folder).start_train({"output_dir": name, "seed": seed})
        wait_until(checkpointed(folder / name, count=2), process)
        process.kill()
        process.communicate()
        assert not (folder / name / "1-real/result.json").exists()
    return folder


@pytest.fixture
def stopped(lqz, half_done):
    """A run that was killed with two checkpoints."""
    shutil.copytree(half_done / "run", lqz.folder / "run")
    return lqz.folder / "run"


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# --- several at once, and other places ------------------------------------------------------------


def test_two_commands_in_one_directory(lqz, undisturbed):
    first, second = (lqz.start_train() for _ in range(2))
    ends = sorted((lqz.end_of(first), lqz.end_of(second)), key=lambda end: end.code)
    ends[0].held()
    if ends[1].code:  # otherwise the second started after the first had ended
        ends[1].refused("Another process is training")
    assert weights_of(lqz.folder / "run") == weights_of(undisturbed)


def test_other_runs_below_keep_their_drafts(lqz):
    draft = lqz.folder / "run/inner/1-real/.step-000000001.npz.4711"
    draft.parent.mkdir(parents=True)
    draft.write_bytes(b"of another run")
    lqz.train({"epochs": 1}).held()
    assert draft.read_bytes() == b"of another run"


@pytest.mark.parametrize("how", ["copied", "moved", "linked"])
def test_a_directory_elsewhere(lqz, undisturbed, stopped, how):
    other = lqz.folder / "elsewhere/run"
    other.parent.mkdir()
    if how == "copied":
        shutil.copytree(stopped, other)
    elif how == "moved":
        stopped.rename(other)
    else:
        other.symlink_to(stopped)
    lqz.train({"output_dir": other}).held()
    assert weights_of(other) == weights_of(undisturbed)


def test_with_another_number_of_threads_it_ends(lqz, stopped):
    """Other threads change the order of sums: the run continues, and its bits may differ."""
    done = lqz.train(before=lambda: os.sched_setaffinity(0, {0})).held()
    assert "Continuing" in done.out


def test_a_directory_of_another_owner(lqz, stopped):
    if os.geteuid() or not shutil.which("setpriv"):
        pytest.skip("another user needs root and setpriv")
    before = contents(stopped)
    keep = "+dac_read_search"
    prefix = ["setpriv", "--reuid=54321", "--clear-groups"]
    prefix += [f"--inh-caps={keep}", f"--ambient-caps={keep}"]
    lqz.train(prefix=prefix, env={"HOME": None}).refused("cannot be written")
    assert contents(stopped) == before


def test_a_clock_that_is_set_back(lqz, undisturbed, stopped):
    """All files of the run are from tomorrow."""
    tomorrow = time.time() + 86400
    for path in (stopped, *stopped.rglob("*")):
        os.utime(path, (tomorrow, tomorrow))
    lqz.train().held()
    assert weights_of(lqz.folder / "run") == weights_of(undisturbed)


def test_on_a_processor_of_another_kind_it_ends(lqz, stopped):
    """The other CPU's vector instructions round differently, so the bits may differ."""
    done = lqz.train(env={"ONEDNN_MAX_CPU_ISA": "SSE41", "TF_ENABLE_ONEDNN_OPTS": "0"}).held()
    assert "RealResNet20" in done.out


def test_a_read_only_directory(lqz, undisturbed):
    with small_disk(lqz.folder / "disk", "30M") as disk:
        lqz.train({"output_dir": disk / "run"}).held()
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        lqz.train({"output_dir": disk / "run"}).refused("cannot be written")
        assert weights_of(disk / "run") == weights_of(undisturbed)


def test_a_disk_that_turns_read_only(lqz):
    with small_disk(lqz.folder / "disk", "30M") as disk:
        long = {"output_dir": disk / "run", "epochs": 30}  # it must not end earlier
        process = lqz.start_train(long)
        wait_until(checkpointed(disk / "run"), process)
        # Mounted over itself: the run has its lock open for writing, so the real disk is busy.
        subprocess.run(["mount", "--bind", disk, disk], check=True)
        subprocess.run(["mount", "-o", "remount,bind,ro", disk], check=True)
        try:
            lqz.end_of(process).refused("read-only")
        finally:
            subprocess.run(["umount", disk], check=True)
        lqz.train(long).held()
        lqz.train({**long, "output_dir": "run"}).held()
        assert weights_of(disk / "run") == weights_of(lqz.folder / "run")


# --- full disks -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kib", [16, 200, 400, 700])
def test_a_full_disk(lqz, undisturbed, kib):
    with small_disk(lqz.folder / "disk", f"{kib}k") as disk:
        settings = {"output_dir": disk / "run"}
        done = lqz.train(settings)
        if done.code:
            done.refused()
            assert "MiB" in done.err or "No space left" in done.err, str(done)
            subprocess.run(["mount", "-o", "remount,size=30M", disk], check=True)
            lqz.train(settings).held()
        assert weights_of(disk / "run") == weights_of(undisturbed)
        nothing_left(disk / "run")


@pytest.mark.parametrize("moment", ["1-real/checkpoints.json", "1-real/result.json"])
def test_a_disk_that_others_fill(lqz, undisturbed, moment):
    """The disk is full in the middle of a stage, or at the last save."""
    with small_disk(lqz.folder / "disk", "4M") as disk:
        settings = {"output_dir": disk / "run"}
        process = lqz.start_train(settings)
        wait_until((disk / "run" / moment).exists, process)
        with pytest.raises(OSError), open(disk / "others", "wb") as other:
            while True:
                other.write(bytes(4096))
                other.flush()
        done = lqz.end_of(process)
        if done.code:
            done.refused("No space left")
        (disk / "others").unlink(missing_ok=True)
        lqz.train(settings).held()
        assert weights_of(disk / "run") == weights_of(undisturbed)
        nothing_left(disk / "run")


# --- damaged and hostile files --------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_bits_turned(lqz, undisturbed, stopped, seed):
    """Ten flipped bits in the run's files: named, skipped or refused, but never other weights."""
    draw = random.Random(seed)
    files = [each for each in sorted(stopped.rglob("*")) if each.is_file() and each.stat().st_size]
    for _ in range(10):
        path = draw.choice(files)
        content = bytearray(path.read_bytes())
        content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
        path.write_bytes(content)
    done = lqz.train()
    if done.code:
        done.refused()
    else:
        assert weights_of(stopped) == weights_of(undisturbed)


HOSTILE = ["null", '[{"file": "../x", "sha256": ""}]', "[" * 200_000]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
@pytest.mark.parametrize(
    "name", ["config.json", "machine.json", "data.json", "1-real/checkpoints.json"]
)
def test_hostile_json(lqz, finished_here, name, text):
    run = finished_here
    (run / "1-real/result.json").unlink(missing_ok=True)
    (run / name).write_text(text, errors="surrogateescape")
    done = lqz.run("train", "RealResNet20", lqz.settings)
    if done.code:
        done.refused()


@pytest.mark.parametrize("text", ["null", "{}", '{"name": 1}', '["a"]'])
def test_hostile_results(lqz, finished_here, undisturbed, text):
    (finished_here / "1-real/result.json").write_text(text)
    lqz.train().held()
    assert weights_of(finished_here) == weights_of(undisturbed)


@pytest.fixture
def finished_here(lqz, undisturbed):
    shutil.copytree(undisturbed, lqz.folder / "run")
    return lqz.folder / "run"


@pytest.mark.parametrize("kind", ["pipe", "link to zeros"])
@pytest.mark.parametrize("which", ["newest", "index", "config.json", "data.json"])
def test_no_regular_files(lqz, undisturbed, stopped, which, kind):
    index = stopped / "1-real/checkpoints.json"
    path = index if which == "index" else stopped / which
    if which == "newest":
        path = stopped / "1-real" / json.loads(index.read_text())[-1]["file"]
    path.unlink()
    {
        "pipe": lambda: os.mkfifo(path),
        "folder": path.mkdir,
        "link to zeros": lambda: path.symlink_to("/dev/zero"),
        "link to nothing": lambda: path.symlink_to("nowhere"),
    }[kind]()
    done = lqz.train()
    if done.code:
        done.refused()
    else:
        assert weights_of(stopped) == weights_of(undisturbed)


def test_checkpoints_of_another_seed(lqz, stopped, half_done):
    """With their index, the files are a complete state of the same network."""
    shutil.rmtree(stopped / "1-real")
    shutil.copytree(half_done / "other/1-real", stopped / "1-real")
    lqz.train().refused("another")


def edit(stage, change):
    """Change the newest checkpoint's arrays, and its hash with them."""
    import hashlib

    index = stage / "checkpoints.json"
    entries = json.loads(index.read_text())
    path = stage / entries[-1]["file"]
    with np.load(path) as file:
        arrays = dict(file)
    loop = json.loads(arrays["loop"].tobytes())
    change(arrays, loop)
    arrays["loop"] = np.frombuffer(json.dumps(loop).encode(), np.uint8)
    np.savez(path, **arrays)
    entries[-1]["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    index.write_text(json.dumps(entries))


@pytest.mark.parametrize(
    "change",
    [
        lambda arrays, loop: arrays["model/conv1/kernel"].fill(np.nan),
        lambda arrays, loop: loop.update(done_steps=10**9),
        lambda arrays, loop: loop.update(done_steps=-1),
        lambda arrays, loop: loop.update(done_steps="6"),
        lambda arrays, loop: loop.pop("history"),
        lambda arrays, loop: loop.update(history=[{"epoch": "x"}]),
        lambda arrays, loop: loop.update(positions=["x"]),
        lambda arrays, loop: arrays.pop("totals"),
    ],
    ids=["nan", "far", "negative", "text", "no history", "history", "positions", "no totals"],
)
def test_edited_state(lqz, undisturbed, stopped, change):
    edit(stopped / "1-real", change)
    done = lqz.train()
    if done.code:
        done.refused()
    else:
        assert "Checkpoint" in done.out  # the run used the checkpoint before it
        assert weights_of(stopped) == weights_of(undisturbed)


def test_not_a_number_in_the_last_update(lqz):
    """The loss stays finite; the last update makes the weights infinite."""
    done = lqz.train({"epochs": 1, "batch_size": 48, "learning_rate": 3e38})
    if done.code:
        done.refused("infinite or NaN")
        assert not (lqz.folder / "run/1-real/result.json").exists()
    for path in (lqz.folder / "run").rglob("*.npz"):
        with np.load(path) as arrays:
            assert all(np.isfinite(arrays[k]).all() for k in arrays if arrays[k].dtype.kind == "f")


# --- time -----------------------------------------------------------------------------------------


def test_stopped_for_a_while(lqz, undisturbed):
    process = lqz.start_train()
    wait_until(checkpointed(lqz.folder / "run"), process)
    os.killpg(process.pid, signal.SIGSTOP)
    time.sleep(20)
    os.killpg(process.pid, signal.SIGCONT)
    lqz.end_of(process).held()
    assert weights_of(lqz.folder / "run") == weights_of(undisturbed)


@pytest.mark.parametrize("seed", range(3))
def test_killed_at_any_moment(lqz, undisturbed, seed):
    draw = random.Random(seed)
    for _ in range(2):
        process = lqz.start_train()
        if draw.random() < 0.5:
            wait_until(checkpointed(lqz.folder / "run"), process)
            time.sleep(draw.uniform(0, 0.3))
        else:
            time.sleep(draw.uniform(0, 8))
        process.kill()
        process.communicate()
    lqz.train().held()
    assert weights_of(lqz.folder / "run") == weights_of(undisturbed)
    nothing_left(lqz.folder / "run")


def test_second_ctrl_c_stops_at_once(lqz, undisturbed):
    process = lqz.start_train()
    wait_until(checkpointed(lqz.folder / "run"), process)
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGINT)
    done = lqz.end_of(process, 30)
    assert done.code in (130, -2) and "Traceback" not in done.err, str(done)
    lqz.train().held()
    assert weights_of(lqz.folder / "run") == weights_of(undisturbed)
