"""Workers find each other over real sockets; each must be a worker and appear once."""

import socket
import threading
import time

import pytest

from training.loop.distribution import meeting
from training.loop.distribution.cluster import Cluster
from training.loop.distribution.meeting import meet
from zoo.errors import RunError


@pytest.fixture
def addresses(monkeypatch):
    monkeypatch.setattr(meeting, "PATIENCE", 0.3)
    ports = []
    for _ in range(2):
        with socket.create_server(("127.0.0.1", 0)) as found:
            ports.append(found.getsockname()[1])
    return tuple(f"127.0.0.1:{port}" for port in ports)


def together(*clusters, seconds=20.0):
    """Return the errors of these workers when they meet at the same time."""
    found = [None] * len(clusters)

    def one(index):
        try:
            meet(clusters[index], 1, time.monotonic() + seconds)
        except RunError as error:
            found[index] = str(error)

    threads = [threading.Thread(target=one, args=(i,)) for i in range(len(clusters))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def test_two_meet(addresses):
    # The first worker that has seen the other stops answering; then TensorFlow listens on its port.
    first, second = together(Cluster(addresses, 0), Cluster(addresses, 1), seconds=5)
    assert first is None or second is None
    assert "did not connect" in (first or second or "did not connect")


def test_the_same_worker_twice(addresses):
    found = together(Cluster(addresses, 0), Cluster(addresses, 0), seconds=1)
    assert any("cannot listen" in str(each) for each in found), found


def test_another_kind_of_server(addresses):
    host, _, port = addresses[1].rpartition(":")
    with socket.create_server((host, int(port))) as other:

        def serve():
            while True:
                try:
                    connection = other.accept()[0]
                except OSError:
                    return
                with connection:
                    connection.recv(64)
                    connection.sendall(b"SSH-2.0-x\r\n")

        threading.Thread(target=serve, daemon=True).start()
        (found,) = together(Cluster(addresses, 0))
        other.close()
    assert f"At {addresses[1]}, where worker 1 should be, another kind of server answers" in found


def test_a_server_that_never_answers(addresses):
    host, _, port = addresses[1].rpartition(":")
    with socket.create_server((host, int(port))):
        (found,) = together(Cluster(addresses, 0), seconds=1)
    assert "did not connect" in found and addresses[1] in found
