"""One file over a real connection: complete, resumed, or one sentence and nothing on disk."""

import fcntl
import hashlib
import json
import os
import pty
import re
import shutil
import signal
import ssl
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest
from server import Served, Server

from zoo.errors import WeightsError
from zoo.pretrained.download import download
from zoo.pretrained.http import Patience

ROOT = Path(__file__).parents[3]
BODY = bytes(range(256)) * 2000  # 512,000 bytes
SHORT = Patience(connect=30, read=0.3, tries=3, pause=0.05)
DIGEST = hashlib.sha256(BODY).hexdigest()


@pytest.fixture
def target(tmp_path):
    return tmp_path / "folder" / "file"


def refused(address, target, says, **arguments):
    """Assert one sentence, and that no file or folder remains."""
    with pytest.raises(WeightsError, match=says) as caught:
        download(address, target, **arguments)
    text = str(caught.value)
    assert "\n" not in text and text.endswith(".") and text.count(". ") == 0, text
    assert not target.parent.exists()


def only(target):
    """Assert that the complete file exists, and nothing else."""
    assert target.read_bytes() == BODY
    assert [path.name for path in target.parent.iterdir()] == [target.name]


@pytest.mark.parametrize("chunked", [False, True])
def test_a_file(server, target, chunked):
    server.files["/a"] = Served(BODY, chunked=chunked)
    assert download(f"{server.url}/a", target, sha256=DIGEST, size=len(BODY)) == DIGEST
    only(target)
    assert server.requests == [("/a", None)]


@pytest.mark.parametrize("form", ["file://{}", "{}"])
def test_a_file_address_or_path(tmp_path, target, form):
    (tmp_path / "a b").write_bytes(BODY)
    address = form.format(tmp_path / "a b").replace(" ", "%20" if ":" in form else " ")
    assert download(address, target, sha256=DIGEST) == DIGEST
    only(target)


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


def test_redirects_are_followed_but_not_for_ever(server, target):
    server.files |= {"/a": Served(location="/b"), "/b": Served(location="/c"), "/c": Served(BODY)}
    assert download(f"{server.url}/a", target) == DIGEST
    only(target)
    target.unlink()
    target.parent.rmdir()
    server.requests.clear()
    server.files["/c"] = Served(location="/a")
    refused(f"{server.url}/a", target, "redirects too often")
    assert len(server.requests) == 11


@pytest.mark.parametrize(
    ("served", "says", "arguments"),
    [
        (Served(BODY[:-1]), "sha256 begins with .* damaged or the wrong one", {"sha256": DIGEST}),
        (Served(BODY[:-1]), "sent 511,999 bytes, not the 512,000", {"size": len(BODY)}),
        (Served(BODY + b"x"), "offers 512,001 bytes, more than", {"size": len(BODY)}),
        (Served(BODY + b"x", chunked=True), "sends more than 512,000 bytes", {"size": len(BODY)}),
        (Served(BODY, endless=True), "sends more than 512,000 bytes", {"size": len(BODY)}),
        (Served(BODY, cut_at=[9] * 3), "connection .*broke after|connection ended", {}),
        (Served(BODY, cut_at=[1] * 9, etag=False), "after 3 tries", {}),
        (Served(BODY, stall_at=100_000), "the server stalls.*after 3 tries", {"patience": SHORT}),
        (Served(b"\n<!DOCTYPE html><html>Sign in</html>"), "sent a web page", {}),
        (Served(b"<html>"), "sent a web page", {"sha256": DIGEST}),
        (Served(b""), "sha256 begins", {"sha256": DIGEST}),
        (None, "the server answers 404", {}),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_goes_wrong_is_one_sentence(server, target, served, says, arguments):
    server.files["/a"] = served
    refused(f"{server.url}/a?key=secret", target, says, **arguments)


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("http://127.0.0.1:1/a", r"127\.0\.0\.1:1/a cannot be downloaded \(no connection\)"),
        ("ftp://127.0.0.1/a", "begin with http, https or file, not 'ftp'"),
        ("file:///no/such/file", "/no/such/file' cannot be read: No such file"),
        ("/no/such/file", "cannot be read"),
        ("http://", "cannot be downloaded"),
    ],
)
def test_addresses_that_lead_nowhere(server, target, address, says):
    refused(address, target, says)


def test_a_pipe_in_a_files_place(target, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    refused(str(tmp_path / "pipe"), target, "is a named pipe, not a regular file")


@pytest.mark.skipif(not shutil.which("openssl"), reason="openssl makes the certificate")
def test_https_never_becomes_http(server, target, tmp_path, monkeypatch):
    """Without a known hash, an attacker on the connection could send another file."""
    names = ("-keyout", "key.pem", "-out", "certificate.pem", "-subj", "/CN=127.0.0.1")
    subprocess.run(
        [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "2",
            *names,
            "-addext",
            "subjectAltName=IP:127.0.0.1",
        ],
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "certificate.pem"))
    protected = Server()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "certificate.pem", tmp_path / "key.pem")
    protected.http.socket = context.wrap_socket(protected.http.socket, server_side=True)
    address = protected.url.replace("http:", "https:")
    server.files["/a"] = Served(BODY)
    protected.files["/a"] = Served(BODY)
    protected.files["/away"] = Served(location=f"{server.url}/a")
    protected.files["/here"] = Served(location="/a")
    refused(f"{address}/away", target, "redirects from https to http, which is not encrypted")
    assert server.requests == []
    download(f"{address}/here", target)
    only(target)
    protected.close()


def test_a_folder_that_cannot_be_written_to(server):
    """In /sys, even root cannot make a folder."""
    server.files["/a"] = Served(BODY)
    with pytest.raises(WeightsError, match=r"/sys/zoo cannot be written to: .*; set ZOO_HOME"):
        download(f"{server.url}/a", Path("/sys/zoo/file"))
    assert server.requests == []


CHILD = """
import resource, sys
from pathlib import Path
from zoo.errors import WeightsError
from zoo.pretrained.download import download
from zoo.pretrained.http import Patience
if int(sys.argv[3]):
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]),) * 2)
try:
    download(sys.argv[1], Path(sys.argv[2]))
except WeightsError as error:
    sys.exit(str(error))
"""


def child(address, target, most_bytes=0, **arguments):
    """Start a process that downloads; its files may have at most `most_bytes`."""
    command = [sys.executable, "-c", CHILD, address, str(target), str(most_bytes)]
    return subprocess.Popen(
        command,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        **{"stderr": subprocess.PIPE, **arguments},
    )


def test_a_full_disk(server, target):
    """The system's limit of file sizes simulates a full disk."""
    server.files["/a"] = Served(BODY)
    process = child(f"{server.url}/a", target, most_bytes=100_000)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 1 and "Traceback" not in said
    assert re.search("cannot be written to: File too large; set ZOO_HOME", said)
    assert not target.parent.exists()


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


def test_progress_is_shown_on_a_terminal(server, target):
    server.files["/a"] = Served(BODY, pace=0.02)
    reading, writing = pty.openpty()
    fcntl.ioctl(writing, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    process = child(f"{server.url}/a", target, stderr=writing)
    os.close(writing)
    shown = b""
    while True:
        try:
            block = os.read(reading, 4096)
        except OSError:  # the server is closed
            break
        if not block:
            break
        shown += block
    os.close(reading)
    assert process.wait(timeout=60) == 0 and re.search(rb"\d+%.*500k", shown), shown
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


@pytest.mark.parametrize(
    "served",
    [
        Served(b"Please sign in", kind="text/html; charset=utf-8"),
        Served(b"\xef\xbb\xbf<html>"),
        Served(b"<!-- consent --><html>"),
    ],
    ids=["by its type", "byte order mark", "comment"],
)
def test_web_pages_in_disguise(server, target, served):
    server.files["/a"] = served
    refused(f"{server.url}/a", target, "a web page in place of the file: open it in a browser")


def test_a_connection_that_never_gets_farther_is_given_up(server, target):
    server.files["/a"] = Served(BODY, ranges=False, cut_at=[100_000, 20_000] * 20)
    refused(f"{server.url}/a", target, "the connection broke.*after 3 tries")


def test_a_hiccup_then_progress(server, target):
    server.files["/a"] = Served(BODY, failing=2, cut_at=[200_000])
    assert download(f"{server.url}/a", target) == DIGEST
    only(target)
