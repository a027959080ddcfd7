"""Other processes that a run needs: a data service, other workers; and commands that are killed."""

import json
import os
import random
import shutil
import signal
import socket
import threading
import time

import psutil
import pytest

from tests.attacks.command import LIMIT, checkpointed, nothing_left, wait_until, weights_of


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as found:
        return found.getsockname()[1]


class OtherServer:
    """A server that is not a data service, or never answers."""

    def __init__(self, answer: bytes | None, port: int = 0):
        self.answer = answer
        self.socket = socket.create_server(("127.0.0.1", port))
        self.port = self.socket.getsockname()[1]
        self.kept = []
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                connection = self.socket.accept()[0]
            except OSError:
                return
            self.kept.append(connection)
            if self.answer is not None:
                try:
                    connection.recv(1024)
                    connection.sendall(self.answer)
                    connection.close()
                except OSError:
                    continue

    def close(self):
        self.socket.close()
        for each in self.kept:
            each.close()


HTTP = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"
SSH = b"SSH-2.0-OpenSSH_9.2\r\n"


# --- the data service -----------------------------------------------------------------------------


@pytest.fixture
def service(lqz):
    """Start a data service; return it and its address."""
    process = lqz.start("127.0.0.1:0", module="training.data.service")
    address = process.stdout.readline().partition("data_service=")[2].strip()
    assert address
    return process, address


def test_a_service_gives_the_same(lqz, service, undisturbed):
    lqz.train({"data_service": service[1], "cache": "memory"}).held()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_a_service_that_is_lost(lqz, service, how):
    process = lqz.start_train({"data_service": service[1], "epochs": 400})
    wait_until(checkpointed(lqz.folder / "run"), process)
    os.killpg(service[0].pid, how)
    lqz.end_of(process, 120).refused("data service")


def test_ctrl_c_while_a_service_is_silent(lqz, service):
    process = lqz.start_train({"data_service": service[1], "epochs": 400})
    wait_until(checkpointed(lqz.folder / "run"), process)
    os.killpg(service[0].pid, signal.SIGSTOP)
    time.sleep(5)
    for _ in range(2):
        process.send_signal(signal.SIGINT)
        time.sleep(1)
    done = lqz.end_of(process, 20)
    assert done.code == 130 and "Traceback" not in done.err, str(done)


@pytest.mark.parametrize("answer", [HTTP, SSH, None], ids=["http", "ssh", "silent"])
def test_another_kind_of_service(lqz, answer):
    server = OtherServer(answer)
    lqz.train({"data_service": f"grpc://127.0.0.1:{server.port}"}).refused("no data service")
    server.close()


@pytest.mark.parametrize(
    "address", ["nonsense", "grpc://127.0.0.1:99999", "grpc://[::1", "grpc://a\x1b:1"]
)
def test_a_service_at_no_address(lqz, address):
    assert "\x1b" not in lqz.train({"data_service": address}).refused("data_service").err


def test_a_service_on_a_port_that_is_taken(lqz):
    server = OtherServer(None)
    done = lqz.run(f"127.0.0.1:{server.port}", module="training.data.service")
    assert done.code == 2 and "Traceback" not in done.err
    server.close()


def other_address():
    """Return an address of this machine that is not loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
            found = probe.getsockname()[0]
        except OSError:
            found = ""
    if not found or found.startswith("127."):
        pytest.skip("this machine has no other address")
    return found


def answers_at(host, port):
    try:
        socket.create_connection((host, port), timeout=2).close()
    except OSError:
        return False
    return True


def test_a_service_answers_at_its_address_alone(lqz, service):
    other, port = other_address(), int(service[1].rpartition(":")[2])
    listening = {port}
    for each in psutil.Process(service[0].pid).net_connections("tcp"):
        if each.status == psutil.CONN_LISTEN:
            listening.add(each.laddr.port)
    assert answers_at("127.0.0.1", port)
    assert not [each for each in listening if answers_at(other, each)]


# --- workers --------------------------------------------------------------------------------------


def cluster(ports, index):
    workers = [f"127.0.0.1:{port}" for port in ports]
    return {
        "TF_CONFIG": json.dumps(
            {"cluster": {"worker": workers}, "task": {"type": "worker", "index": index}}
        )
    }


@pytest.fixture
def ports():
    return free_port(), free_port()


def start_two(lqz, ports, *more, **settings):
    return [
        lqz.start_train({"output_dir": f"run{i}", **settings}, *more, env=cluster(ports, i))
        for i in (0, 1)
    ]


@pytest.mark.parametrize("victim", [0, 1], ids=["chief", "other"])
def test_a_worker_is_killed_and_started_again(lqz, ports, victim):
    calm = start_two(lqz, (free_port(), free_port()), output_dir="calm")
    for process in calm:
        lqz.end_of(process).held()
    workers = start_two(lqz, ports)
    wait_until(checkpointed(lqz.folder / "run0"), workers[0])
    workers[victim].kill()
    workers[victim].communicate()
    time.sleep(5)
    assert workers[1 - victim].poll() is None  # it waits
    again = {"output_dir": f"run{victim}"}
    workers[victim] = lqz.start_train(again, env=cluster(ports, victim))
    ends = [lqz.end_of(process, 2 * LIMIT).held() for process in workers]
    assert "Error: Lost " in ends[1 - victim].err and "Continuing stage" in ends[0].out
    assert weights_of(lqz.folder / "run0") == weights_of(lqz.folder / "calm")


def test_a_worker_that_does_not_come_back(lqz, ports):
    first, second = start_two(lqz, ports, epochs=400, rejoin_minutes=0.2)
    wait_until(checkpointed(lqz.folder / "run0"), first)
    second.kill()
    lqz.end_of(first, 180).refused("worker")


def test_a_worker_that_never_comes(lqz, ports):
    lqz.train({"rejoin_minutes": 0.1}, env=cluster(ports, 0)).refused("did not connect")


@pytest.mark.parametrize("answer", [HTTP, SSH, None], ids=["http", "ssh", "silent"])
def test_a_peer_of_another_kind(lqz, ports, answer):
    server = OtherServer(answer, ports[1])
    done = lqz.train({"rejoin_minutes": 0.2}, env=cluster(ports, 0))
    done.refused(str(ports[1]))
    server.close()


def test_a_port_that_is_taken(lqz, ports):
    server = OtherServer(None, ports[0])
    lqz.train({"rejoin_minutes": 0.2}, env=cluster(ports, 0)).refused("cannot listen")
    server.close()


def test_two_chiefs(lqz, ports):
    several = [lqz.start_train({"rejoin_minutes": 0.3}, env=cluster(ports, 0)) for _ in range(2)]
    for process in several:
        lqz.end_of(process, 120).refused("worker")


def test_other_recipes_and_data(lqz, ports):
    shutil.copytree(lqz.folder / "photos", lqz.folder / "others")
    (lqz.folder / "others/train/bars/0.png").unlink()
    several = [
        lqz.start_train({"output_dir": f"run{i}", "dataset.data_dir": name}, env=cluster(ports, i))
        for i, name in enumerate(("photos", "others"))
    ]
    for process in several:
        lqz.end_of(process).refused("settings")


def test_workers_answer_at_their_address_alone(lqz, ports):
    other = other_address()
    first, second = start_two(lqz, ports, epochs=400)
    wait_until(checkpointed(lqz.folder / "run0"), first)
    assert answers_at("127.0.0.1", ports[0]) and answers_at("127.0.0.1", ports[1])
    assert not answers_at(other, ports[0]) and not answers_at(other, ports[1])
    for process in (first, second):
        process.send_signal(signal.SIGINT)
    for process in (first, second):
        assert lqz.end_of(process, 120).code == 130


# --- commands that are killed ---------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["openvino", "c", "tflite", "saved_model"])
def test_an_export_that_is_killed(lqz, kind):
    """Killed after increasing times: the final name does not exist, or is a whole model."""
    output = "model.tflite" if kind == "tflite" else "model"
    words = ("export", "BiRealNet20", "weights=None", "--format", kind, "-o", output)
    if kind == "openvino":
        pytest.importorskip("openvino")
    began = time.monotonic()
    lqz.run(*words).held()
    took = time.monotonic() - began
    whole = contents(lqz.folder / output)
    draw = random.Random(0)
    for _ in range(3):
        process = lqz.start(*words)
        time.sleep(took * draw.uniform(0.6, 1))
        process.kill()
        process.communicate()
        assert contents(lqz.folder / output).keys() == whole.keys()
    lqz.run(*words).held()
    nothing_left(lqz.folder)


def contents(path):
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    return {each.name: each.stat().st_size for each in files if each.is_file()}


def test_a_conversion_that_is_killed(lqz):
    words = ("convert", "ReActNet20", "--to", "packed", "-o", "small.npz")
    lqz.run(*words).held()
    whole = (lqz.folder / "small.npz").read_bytes()
    process = lqz.start(*words)
    wait_until(lambda: list(lqz.folder.glob(".small.npz.*")) or process.poll() is not None, process)
    process.kill()
    assert (lqz.folder / "small.npz").read_bytes() == whole
