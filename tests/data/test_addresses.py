"""Which service answers at an address, with real sockets of this machine."""

import socket
import sys
import threading

import pytest

from training.data.addresses import addresses_of, answer_only_at, local_addresses, speaks_grpc
from training.data.service import reachable
from zoo.errors import InvalidValueError

SETTINGS = bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
HTTP = b"HTTP/1.1 400 Bad Request\r\n\r\n"


@pytest.fixture
def server():
    """Start servers that answer once with some bytes; return the port."""
    opened = []

    def start(answer):
        listener = socket.create_server(("127.0.0.1", 0))
        opened.append(listener)

        def serve():
            connection = listener.accept()[0]
            opened.append(connection)
            connection.recv(1024)
            if answer is not None:
                connection.sendall(answer)
                connection.close()

        threading.Thread(target=serve, daemon=True).start()
        return listener.getsockname()[1]

    yield start
    for each in opened:
        each.close()


def test_servers_are_told_apart(server):
    assert speaks_grpc("127.0.0.1", server(SETTINGS)) is None
    assert speaks_grpc("127.0.0.1", server(HTTP)) == "another kind of server answers"
    assert speaks_grpc("127.0.0.1", server(b"x")) == "another kind of server answers"
    assert speaks_grpc("127.0.0.1", server(None), seconds=0.2) == "nothing answers in time"
    assert speaks_grpc("127.0.0.1", 1) == "Connection refused"
    assert speaks_grpc("127.0.0.1", 10**6) is not None
    assert speaks_grpc("x" * 300, 80) is not None


@pytest.mark.parametrize("address", ["nonsense", "grpc://a", "grpc://127.0.0.1:99999", "grpc://:1"])
def test_an_address_that_is_none(address):
    with pytest.raises(InvalidValueError, match="must be the address of a dispatcher"):
        reachable(address)


def test_another_kind_of_service_is_refused(server):
    with pytest.raises(InvalidValueError, match=r"No data service answers .*another kind of serv"):
        reachable(f"grpc://127.0.0.1:{server(HTTP)}")


def test_addresses_of_this_machine():
    assert "127.0.0.1" in local_addresses("127.0.0.1") and local_addresses("192.0.2.77") == []
    assert addresses_of("no.such.host.invalid") == [] and addresses_of("x" * 300) == []


@pytest.mark.skipif(sys.platform != "linux", reason="filters on sockets are Linux's")
def test_sockets_on_all_addresses_answer_at_one():
    def answers(host):
        try:
            socket.create_connection((host, port), timeout=0.3).close()
        except OSError:
            return False
        return True

    both = socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if both else socket.AF_INET
    with socket.create_server(("", 0), family=family, dualstack_ipv6=both) as listener:
        port = listener.getsockname()[1]
        assert answers("127.0.0.1") and answers("127.0.0.2")
        assert answer_only_at(["127.0.0.1", "::2"], [port])
        assert answers("127.0.0.1") and not answers("127.0.0.2")
        if both:
            assert not answers("::1")
            assert answer_only_at(["::1", "127.0.0.2"], [port])
            assert answers("::1") and answers("127.0.0.2") and not answers("127.0.0.1")
    assert not answer_only_at(["127.0.0.1"], [port])  # the port is closed
