"""Downloads that break off and go on: after a lost connection, and after a killed process."""

import json
import signal
import time

import pytest
from downloads import BODY, DIGEST, child, only, refused
from server import Served

from zoo.pretrained.download import download


@pytest.fixture
def target(tmp_path):
    return tmp_path / "folder" / "file"


def test_a_dropped_connection_is_taken_up_where_it_broke(server, target):
    server.files["/a"] = Served(BODY, cut_at=[200_000, 100_000])
    assert download(f"{server.url}/a", target) == DIGEST
    only(target)
    ranges = [asked for _, asked in server.requests]
    assert ranges == [None, "bytes=200000-", "bytes=300000-"]


def test_a_server_that_ignores_ranges_sends_all_again(server, target):
    server.files["/a"] = Served(BODY, cut_at=[200_000], ranges=False)
    assert download(f"{server.url}/a", target) == DIGEST
    only(target)
    assert [asked for _, asked in server.requests] == [None, "bytes=200000-"]


def test_without_a_version_nothing_is_mixed(server, target):
    """The server does not show that the second half is of the same file: all is requested again."""
    server.files["/a"] = Served(BODY, cut_at=[200_000], etag=False)
    assert download(f"{server.url}/a", target) == DIGEST
    only(target)
    assert [asked for _, asked in server.requests] == [None, None]


def test_a_file_that_changed_between_is_fetched_anew(server, target):
    """If-Range prevents that halves of two different files are put together."""
    served = server.files["/a"] = Served(bytes(len(BODY)), cut_at=[200_000])
    served.after_cut = BODY
    assert download(f"{server.url}/a", target) == DIGEST
    only(target)
    assert [asked for _, asked in server.requests] == [None, "bytes=200000-"]


def test_hiccups_are_retried(server, target):
    server.files["/a"] = Served(BODY, failing=2)
    assert download(f"{server.url}/a", target) == DIGEST
    server.files["/a"].failing = 3
    target.unlink()
    target.parent.rmdir()
    refused(f"{server.url}/a", target, "the server answers 503.*after 3 tries")


def test_killed_in_the_middle(server, target):
    """The next start uses the file of a killed process, and then removes it."""
    served = server.files["/a"] = Served(BODY, stall_at=300_000)
    process = child(f"{server.url}/a", target)
    part = target.with_name("file.part")
    deadline = time.monotonic() + 60
    while not (part.is_file() and part.stat().st_size >= 200_000):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait(timeout=60)
    process.stderr.close()
    assert part.is_file() and not target.exists()
    have = part.stat().st_size
    served.stall_at = None
    server.requests.clear()
    assert download(f"{server.url}/a", target) == DIGEST
    assert server.requests == [("/a", f"bytes={have}-")]
    only(target)


def test_killed_and_then_another_file(server, target):
    """The beginning of one file never becomes part of another."""
    target.parent.mkdir()
    target.with_name("file.part").write_bytes(b"x" * 1000)
    target.with_name("file.part.json").write_text(
        '{"address": "%s/a", "version": "\\"old\\""}' % server.url  # noqa: UP031 (full of braces)
    )
    server.files["/a"] = Served(BODY)
    assert download(f"{server.url}/a", target) == DIGEST
    only(target)


def begun(target, content, address, version='"1"'):
    target.parent.mkdir()
    target.with_name("file.part").write_bytes(content)
    label = json.dumps({"address": address, "version": version})
    target.with_name("file.part.json").write_text(label)


def test_killed_and_then_another_address(server, target):
    """A mirror's file has the same target, but its first part must not be used for this file."""
    server.files["/a"] = Served(BODY)
    begun(target, b"x" * 1000, f"{server.url}/mirror")
    assert download(f"{server.url}/a", target, sha256=DIGEST) == DIGEST
    only(target)
    assert server.requests == [("/a", None)]


def test_a_damaged_beginning_is_fetched_anew(server, target):
    server.files["/a"] = Served(BODY)
    address = f"{server.url}/a"
    begun(target, b"x" * 1000, address, f'"{DIGEST[:16]}"')  # the server's ETag
    assert download(address, target, sha256=DIGEST) == DIGEST
    only(target)
    assert [asked for _, asked in server.requests] == ["bytes=1000-", None]


def test_a_connection_that_breaks_again_and_again_but_gets_on(server, target):
    """The connection is cut more often than there are tries."""
    server.files["/a"] = Served(BODY, cut_at=[60_000] * 8)
    assert download(f"{server.url}/a", target) == DIGEST
    only(target)
    assert len(server.requests) == 9


def test_a_connection_that_never_gets_farther_is_given_up(server, target):
    server.files["/a"] = Served(BODY, ranges=False, cut_at=[100_000, 20_000] * 20)
    refused(f"{server.url}/a", target, "the connection broke.*after 3 tries")


def test_a_hiccup_then_progress(server, target):
    server.files["/a"] = Served(BODY, failing=2, cut_at=[200_000])
    assert download(f"{server.url}/a", target) == DIGEST
    only(target)
