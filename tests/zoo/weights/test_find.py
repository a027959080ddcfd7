"""Where sets are searched, in which order, and what is remembered."""

import dataclasses
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from server import Served, tree

from zoo.errors import WeightsError
from zoo.pretrained import cache
from zoo.pretrained.cache import lock
from zoo.pretrained.find import downloaded, keeping, obtain, present, state_of

ROOT = Path(__file__).parents[3]
MODEL, NAME = "ReActNet20", "cifar10"


def as_it_is(record, source, format, target):
    """A set that needs no conversion."""
    shutil.copyfile(source, target)


@pytest.fixture
def record(register, server):
    """A set on the authors' server."""
    server.files["/authors/weights"] = Served(b"the authors'")
    return register(MODEL, NAME, address=f"{server.url}/authors/weights")


@pytest.fixture
def mirror(server, monkeypatch):
    server.files[f"/mirror/{MODEL}/{NAME}.npz"] = Served(b"the mirror's")
    monkeypatch.setenv("ZOO_WEIGHTS_MIRROR", f"{server.url}/mirror/")


def keep(content):
    with keeping(MODEL, NAME, ".npz", "test", "digest") as draft:
        draft.write_bytes(content)


def test_order(record, mirror, home, server, tmp_path, monkeypatch):
    """Each place is asked only if no earlier place has the set."""
    assert state_of(record) == "downloadable"
    assert obtain(record, as_it_is).read_bytes() == b"the mirror's"
    assert [path for path, _ in server.requests] == [f"/mirror/{MODEL}/{NAME}.npz"]
    assert state_of(record) == "cached"

    shutil.rmtree(home)
    server.files.pop(f"/mirror/{MODEL}/{NAME}.npz")
    server.requests.clear()
    assert obtain(record, as_it_is).read_bytes() == b"the authors'"
    assert [path for path, _ in server.requests] == [
        f"/mirror/{MODEL}/{NAME}.npz",
        "/authors/weights",
    ]

    server.close()
    assert obtain(record, as_it_is) == home / "weights" / MODEL / f"{NAME}.npz"

    monkeypatch.setattr(cache, "SHIPPED", tmp_path / "shipped")
    shipped = tmp_path / "shipped" / MODEL / f"{NAME}.v1.npz"
    shipped.parent.mkdir(parents=True)
    shipped.write_bytes(b"shipped")
    assert obtain(record, as_it_is) == shipped and state_of(record) == "shipped"


def test_the_newest_version_is_taken(home, tmp_path):
    folder = tmp_path / "shipped" / MODEL
    folder.mkdir(parents=True)
    for name in (f"{NAME}.v2.npz", f"{NAME}.v10.npz", f"{NAME}-hour.v11.npz", f"{NAME}.vx.npz"):
        (folder / name).touch()
    assert cache.shipped(MODEL, NAME) == folder / f"{NAME}.v10.npz"
    assert cache.shipped(MODEL, "cifar1") is None


def test_a_mirror_may_be_a_folder(register, home, tmp_path, monkeypatch):
    record = register(MODEL, NAME, access="manual download")
    assert state_of(record) == "manual download"
    monkeypatch.setenv("ZOO_WEIGHTS_MIRROR", (tmp_path / "mirror").as_uri())
    with pytest.raises(WeightsError, match=r"No such file.*lqz convert ReActNet20 FILE"):
        obtain(record, as_it_is)
    file = tmp_path / "mirror" / MODEL / f"{NAME}.npz"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"copied")
    assert obtain(record, as_it_is).read_bytes() == b"copied"


def test_what_has_no_known_hash_is_pinned_at_first_use(record, home, server):
    obtain(record, as_it_is)
    pin = cache.pin_of(MODEL, NAME)
    digest = hashlib.sha256(b"the authors'").hexdigest()
    assert pin == cache.Pin(digest, record.address, {record.address: digest})

    (home / "weights" / MODEL / f"{NAME}.npz").unlink()
    server.files["/authors/weights"].body = b"another's"
    before = tree(home)
    with pytest.raises(WeightsError, match=f"not with {digest[:12]}: it is damaged or the wrong"):
        obtain(record, as_it_is)
    assert tree(home) == before
    server.files["/authors/weights"].body = b"the authors'"
    assert obtain(record, as_it_is).read_bytes() == b"the authors'"


def test_a_known_hash_is_asked_for(record, home, server, unchanged):
    wrong = dataclasses.replace(record, sha256="0" * 64)
    with pytest.raises(WeightsError, match="not with 000000000000"):
        obtain(wrong, as_it_is)


def test_what_does_not_pass_the_check_is_not_kept(record, home, unchanged):
    def refuse(record, source, format, target):
        assert source.read_bytes() == b"the authors'" and format == "npz"
        target.write_bytes(b"half")
        raise WeightsError("no.")

    with pytest.raises(WeightsError, match=r": no. They are at the authors' README"):
        obtain(record, refuse)


def test_a_cached_file_that_changed_is_refused(record, home):
    path = obtain(record, as_it_is)
    path.write_bytes(b"bitten")
    for look in (lambda: obtain(record, as_it_is), lambda: present(MODEL, NAME)):
        with pytest.raises(WeightsError, match=r"was changed after it was written.*delete it"):
            look()
    path.with_suffix(".json").write_text("{")
    with pytest.raises(WeightsError, match=r"\.json' is damaged: delete it"):
        present(MODEL, NAME)


def test_offline(record, mirror, home, server, monkeypatch, unchanged):
    monkeypatch.setenv("ZOO_OFFLINE", "1")
    with pytest.raises(WeightsError, match="ZOO_OFFLINE=1 forbids the download"):
        obtain(record, as_it_is)
    assert server.requests == []


def test_nothing_to_be_had_says_where_it_is(record, home, server, unchanged):
    server.files.clear()
    with pytest.raises(WeightsError) as caught:
        obtain(record, as_it_is)
    assert str(caught.value) == (
        f"The weights 'cifar10' of ReActNet20 are not on this machine: {record.address} cannot be "
        f"downloaded: the server answers 404. They are at the authors' README ({record.address}): "
        f"download the file in a browser, save it as '{home}/downloads/ReActNet20-cifar10.npz' and "
        "run the command again, or import it from any folder with 'lqz convert ReActNet20 FILE'. "
        "weights=None gives random ones."
    )


class TestDownloadedByHand:
    """After the steps of the above message, the same call works."""

    @pytest.fixture
    def place(self, home):
        (home / "downloads").mkdir(parents=True)
        return home / "downloads"

    @pytest.mark.parametrize("access", ["downloadable", "manual download"])
    def test_it_is_imported_and_stays(self, register, home, place, access, server):
        record = register(MODEL, NAME, access=access, address=f"{server.url}/page")
        with pytest.raises(WeightsError) as caught:
            obtain(record, as_it_is)
        (said,) = re.findall("save it as '(.*)' and run the command", str(caught.value))
        assert state_of(record) == access
        Path(said).write_bytes(b"by hand")
        server.requests.clear()
        assert state_of(record) == "cached"
        path = obtain(record, as_it_is)
        assert path == home / "weights" / MODEL / f"{NAME}.npz" and path.read_bytes() == b"by hand"
        assert Path(said).exists() and not server.requests
        digest, name = hashlib.sha256(b"by hand").hexdigest(), Path(said).name
        assert cache.pin_of(MODEL, NAME) == cache.Pin(digest, name, {name: digest})

    def test_every_usual_name_is_taken(self, register, place):
        record = register("ReActNetA", "imagenet", file="model.tar")
        ends = (".pth.tar", ".pth", ".pt", ".tar", ".ckpt", ".bin")
        for name in ("model.tar", *(f"ReActNetA-imagenet{end}" for end in ends)):
            assert downloaded(record) is None
            (place / name).touch()
            assert downloaded(record) == place / name
            (place / name).unlink()

    def test_another_file_is_refused(self, record, place, home):
        (place / f"{MODEL}-{NAME}.npz").write_bytes(b"by hand")
        before = tree(home)
        wrong = dataclasses.replace(record, sha256="0" * 64)
        with pytest.raises(WeightsError, match=r"/downloads/.* is not the file of ReActNet20"):
            obtain(wrong, as_it_is)

        def refuse(record, source, format, target):
            target.write_bytes(b"half")
            raise WeightsError("no.")

        with pytest.raises(WeightsError, match=r"The file '.*' cannot be imported: no\."):
            obtain(record, refuse)
        assert tree(home) == before


def test_a_set_that_was_never_published(register, home, unchanged):
    record = register("XNORNetPlusPlusResNet18", "imagenet")
    assert state_of(record) == "none published"
    with pytest.raises(WeightsError, match=r"never published. The authors released no weights. Tr"):
        obtain(record, as_it_is)


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


def test_a_cache_that_cannot_be_written_to(record, monkeypatch, server):
    monkeypatch.setenv("ZOO_HOME", "/sys/zoo")
    with pytest.raises(WeightsError, match=r"/sys/zoo/locks cannot be written to: .*set ZOO_HOME"):
        obtain(record, as_it_is)
    assert server.requests == []


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


def test_offline_in_capitals(record, home, monkeypatch, server):
    monkeypatch.setenv("ZOO_OFFLINE", "1")
    monkeypatch.setenv("ZOO_WEIGHTS_MIRROR", server.url.replace("http", "HTTP"))
    with pytest.raises(WeightsError, match="ZOO_OFFLINE=1 forbids"):
        obtain(record, as_it_is)
    assert not server.requests


def test_what_opens_a_mirror_is_not_written_down(record, home, monkeypatch, server):
    server.files[f"/mirror/{MODEL}/{NAME}.npz"] = Served(b"the mirror's")
    address = server.url.replace("http://", "http://user:secret@")
    monkeypatch.setenv("ZOO_WEIGHTS_MIRROR", f"{address}/mirror")
    obtain(record, as_it_is)
    assert "secret" not in (home / "weights" / MODEL / f"{NAME}.json").read_text()


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
