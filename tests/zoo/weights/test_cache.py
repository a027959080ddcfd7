"""The cache of sets: one process writes, others wait, and a killed one leaves no half set."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from server import Served

from zoo.errors import WeightsError
from zoo.pretrained import cache
from zoo.pretrained.cache import lock
from zoo.pretrained.find import keeping, present

ROOT = Path(__file__).parents[3]
MODEL, NAME = "ReActNet20", "cifar10"


def keep(content):
    with keeping(MODEL, NAME, ".npz", "test", "digest") as draft:
        draft.write_bytes(content)


def test_the_newest_version_is_taken(home, tmp_path):
    folder = tmp_path / "shipped" / MODEL
    folder.mkdir(parents=True)
    for name in (f"{NAME}.v2.npz", f"{NAME}.v10.npz", f"{NAME}-hour.v11.npz", f"{NAME}.vx.npz"):
        (folder / name).touch()
    assert cache.shipped(MODEL, NAME) == folder / f"{NAME}.v10.npz"
    assert cache.shipped(MODEL, "cifar1") is None


ASK = """
import shutil, sys
from zoo.pretrained.find import obtain
from zoo.pretrained.records import find_record
sys.stdin.read()  # all start together
record = find_record("SDBNNResNet20", "cifar10-authors")
path = obtain(record, lambda record, source, format, target: shutil.copyfile(source, target))
print(len(path.read_bytes()))
"""


def test_ten_processes_that_ask_at_once_download_once(server, home):
    body = os.urandom(500_000)
    server.files["/SDBNNResNet20/cifar10-authors.npz"] = Served(body, pace=0.05)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "ZOO_WEIGHTS_MIRROR": server.url}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", ASK],
            env=environment,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for _ in range(10)
    ]
    for process in processes:
        process.stdin.close()
        process.stdin = None
    said = [process.communicate(timeout=120) for process in processes]
    assert [out for out, _ in said] == ["500000\n"] * 10
    waiting = [err for _, err in said if err]  # all but the fetching one, or fewer
    assert len(waiting) <= 9 and all(err.startswith("Waiting for another") for err in waiting)
    assert len(server.requests) == 1
    folder = home / "weights" / "SDBNNResNet20"
    names = ["cifar10-authors.json", "cifar10-authors.npz"]
    assert sorted(path.name for path in folder.iterdir()) == names


def test_where_the_cache_is(monkeypatch, tmp_path):
    monkeypatch.setenv("ZOO_HOME", str(tmp_path))
    assert cache.home() == tmp_path
    monkeypatch.delenv("ZOO_HOME")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache.home() == tmp_path / "xdg" / "binary-zoo"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache.home() == tmp_path / ".cache" / "binary-zoo"


def test_a_pin_is_written_before_the_set(home, monkeypatch):
    """If the process is killed between the two, no unchecked file remains under the final name."""
    order = []
    replace = Path.replace

    def note(path, target):
        order.append(Path(target).suffix)
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", note)
    keep(b"content")
    assert order == [".json", ".npz"]
    assert json.loads((home / "weights" / MODEL / f"{NAME}.json").read_text())["source"] == "test"


def test_drafts_are_no_sets_and_go_with_the_next_one(home):
    folder = home / "weights" / MODEL
    folder.mkdir(parents=True)
    (folder / f".{NAME}.4711.npz").write_bytes(b"half")  # a file of a killed process
    assert cache.cached_sets() == []
    keep(b"whole")
    assert cache.cached_sets() == [(MODEL, NAME)]
    assert sorted(path.name for path in folder.iterdir()) == [f"{NAME}.json", f"{NAME}.npz"]


def test_who_waits_for_another_is_told(home, capfd):
    ready, done = threading.Event(), threading.Event()

    def hold():
        with lock(home / "locks" / "a.lock"):
            ready.set()
            done.wait(20)

    thread = threading.Thread(target=hold)
    thread.start()
    ready.wait(20)
    threading.Timer(1.5, done.set).start()
    with lock(home / "locks" / "a.lock"):
        assert "Waiting for another process" in capfd.readouterr().err
    thread.join()


def test_a_pin_that_cannot_be_written_leaves_the_old_set(home, monkeypatch):
    keep(b"old")

    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cache, "write_pin", full)
    with pytest.raises(WeightsError, match="No space left"):
        keep(b"new")
    assert present(MODEL, NAME).read_bytes() == b"old"


def test_killed_between_pin_and_set_the_old_set_is_good(home, monkeypatch):
    keep(b"old")
    replace = Path.replace

    def killed(path, target):
        if Path(target).suffix == ".npz":
            raise KeyboardInterrupt
        return replace(path, target)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Path, "replace", killed)
        keep(b"new")
    assert present(MODEL, NAME).read_bytes() == b"old"
    keep(b"new")
    assert present(MODEL, NAME).read_bytes() == b"new"
