"""Find out what answers at an address; choose the addresses at which this process answers.

TensorFlow's servers use gRPC, which is HTTP/2. They listen on all addresses of a machine, need no
password, and run every program that they receive.
"""

from __future__ import annotations

import contextlib
import ctypes
import ipaddress
import os
import socket
import struct
import sys
from collections.abc import Iterable, Sequence

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])  # and SETTINGS
SETTINGS = 4  # type of the first frame of every HTTP/2 server

# Classic BPF: instructions (code, jump if true, jump if false, constant).
LOAD_WORD, LOAD_BYTE, SHIFT, EQUAL, RETURN = 0x20, 0x30, 0x74, 0x15, 0x06
NETWORK = 0xFFF00000  # offset of the network header (SKF_NET_OFF)
ATTACH_FILTER = 26  # SO_ATTACH_FILTER
ALL, NOTHING = 0xFFFFFFFF, 0


def speaks_grpc(host: str, port: int, seconds: float = 5) -> str | None:
    """Return None if an HTTP/2 server answers within `seconds`, else the reason."""
    try:
        with socket.create_connection((host, port), timeout=seconds) as connection:
            connection.sendall(PREFACE)
            head = b""
            while len(head) < 9:
                more = connection.recv(9 - len(head))
                if not more:
                    return "another kind of server answers"
                head += more
    except TimeoutError:
        return "nothing answers in time"
    except (OSError, UnicodeError, OverflowError) as error:
        return getattr(error, "strerror", None) or "no such address"
    return None if head[3] == SETTINGS else "another kind of server answers"


def addresses_of(host: str) -> list[str]:
    """Return the IP addresses of a host; an empty list for an unknown host."""
    with contextlib.suppress(OSError, UnicodeError):
        found = socket.getaddrinfo(host.strip("[]"), None, type=socket.SOCK_STREAM)
        return list(dict.fromkeys(str(each[4][0]).partition("%")[0] for each in found))
    return []


def local_addresses(host: str) -> list[str]:
    """Return a host's addresses that belong to this machine; none if another one forwards to it."""
    local = []
    for address in addresses_of(host):
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with contextlib.suppress(OSError), socket.socket(family) as probe:
            probe.bind((address, 0))
            local.append(address)
    return local


def answer_only_at(addresses: Sequence[str], ports: Iterable[int] | None = None) -> bool:
    """Make this process's listening sockets accept only connections to these addresses.

    TensorFlow opens its sockets on all addresses. We attach a filter to these sockets; the system
    then drops connections to other addresses. Works on Linux only.

    Args:
        addresses: IP addresses.
        ports: ports of the sockets; None for all sockets that listen on every address.

    Returns:
        Whether at least one socket was found and all of them have the filter.
    """
    if sys.platform != "linux":
        return False
    program = _filter(addresses)
    code = b"".join(struct.pack("HBBI", *each) for each in program)
    buffer = ctypes.create_string_buffer(code)
    option = struct.pack("HP", len(program), ctypes.addressof(buffer))
    wanted = None if ports is None else set(ports)
    done = []
    for number in map(int, os.listdir("/proc/self/fd")):
        try:
            listener = socket.socket(fileno=os.dup(number))
        except OSError:  # not a socket
            continue
        with listener:
            if _listens_everywhere(listener, wanted):
                try:
                    listener.setsockopt(socket.SOL_SOCKET, ATTACH_FILTER, option)
                    done.append(True)
                except OSError:
                    done.append(False)
    return bool(done) and all(done)


def _listens_everywhere(found: socket.socket, ports: set[int] | None) -> bool:
    if found.family not in (socket.AF_INET, socket.AF_INET6) or found.type != socket.SOCK_STREAM:
        return False
    if not found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        return False
    address, port = found.getsockname()[:2]
    return address in ("0.0.0.0", "::") and (ports is None or port in ports)


def _filter(addresses: Sequence[str]) -> list[tuple[int, int, int, int]]:
    """Return a BPF program that accepts only packets sent to one of the addresses."""
    parsed = [ipaddress.ip_address(each) for each in addresses]
    four = [int(each) for each in parsed if each.version == 4]
    six = [each.packed for each in parsed if each.version == 6]
    of_four = [(LOAD_WORD, 0, 0, NETWORK + 16)]
    for value in four:
        of_four += [(EQUAL, 0, 1, value), (RETURN, 0, 0, ALL)]
    of_four.append((RETURN, 0, 0, NOTHING))
    of_six: list[tuple[int, int, int, int]] = []
    for packed in six:
        words = struct.unpack(">4I", packed)
        for i, word in enumerate(words):
            of_six += [(LOAD_WORD, 0, 0, NETWORK + 24 + 4 * i), (EQUAL, 0, 7 - 2 * i, word)]
        of_six.append((RETURN, 0, 0, ALL))
    of_six.append((RETURN, 0, 0, NOTHING))
    version = [(LOAD_BYTE, 0, 0, NETWORK), (SHIFT, 0, 0, 4), (EQUAL, 0, len(of_four), 4)]
    return [*version, *of_four, *of_six]
