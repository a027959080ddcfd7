"""One file over a real connection: complete, or one sentence and nothing on disk."""

import fcntl
import os
import pty
import re
import shutil
import ssl
import struct
import subprocess
import termios
from pathlib import Path

import pytest
from downloads import BODY, DIGEST, child, only, refused
from server import Served, Server

from zoo.errors import WeightsError
from zoo.pretrained.download import download
from zoo.pretrained.http import Patience

SHORT = Patience(connect=30, read=0.3, tries=3, pause=0.05)


@pytest.fixture
def target(tmp_path):
    return tmp_path / "folder" / "file"


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


def test_a_full_disk(server, target):
    """The system's limit of file sizes simulates a full disk."""
    server.files["/a"] = Served(BODY)
    process = child(f"{server.url}/a", target, most_bytes=100_000)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 1 and "Traceback" not in said
    assert re.search("cannot be written to: File too large; set ZOO_HOME", said)
    assert not target.parent.exists()


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
