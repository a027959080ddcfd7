"""Where sets are searched, in which order, and what is remembered."""

import dataclasses
import hashlib
import re
import shutil
from pathlib import Path

import pytest
import tensorflow as tf
from server import Served, tree

from zoo.errors import WeightsError
from zoo.pretrained import cache
from zoo.pretrained.find import downloaded, obtain, present, state_of
from zoo.weights import load_weights

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


def test_a_cache_that_cannot_be_written_to(record, monkeypatch, server):
    monkeypatch.setenv("ZOO_HOME", "/sys/zoo")
    with pytest.raises(WeightsError, match=r"/sys/zoo/locks cannot be written to: .*set ZOO_HOME"):
        obtain(record, as_it_is)
    assert server.requests == []


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


@pytest.mark.parametrize("mirror", ["ftp://host/zoo", "http://", "http://host:port/zoo", "a\tb"])
def test_what_is_no_mirror(record, home, monkeypatch, mirror):
    monkeypatch.setenv("ZOO_WEIGHTS_MIRROR", mirror)
    with pytest.raises(WeightsError, match=r"is not a mirror: give http\(s\)://HOST"):
        obtain(record, as_it_is)


def test_weights_of_a_network_of_another_name():
    """`load_weights` finds a set by the catalog's name."""
    model = tf.keras.Sequential([tf.keras.Input((3,))], name="mine")
    with pytest.raises(WeightsError, match="'mine' is not a model of `lqz list`: give a name"):
        load_weights(model, "cifar10")
