"""Signals and lost services are noticed while the main thread waits in C, in real processes."""

import signal
import subprocess
import sys

import pytest

# The thread takes a lock twice in C and waits for ever, like a library that waits for a server.
WAITING = """
import ctypes, sys
from training.loop import stopping
stopping.LOOK_EVERY, stopping.MOST_ABSENCE, stopping.GRACE = 0.05, 0.3, 0.3
lock = ctypes.create_string_buffer(128)
wait = ctypes.CDLL(None).pthread_mutex_lock
def fault():
    return sys.argv[1] if len(sys.argv) > 1 else None
flag = stopping.StopFlag()
with flag.listening(), flag.waiting_for(fault):
    print("waiting", flush=True)
    wait(lock), wait(lock)
"""


def start(*words):
    process = subprocess.Popen(
        [sys.executable, "-c", WAITING, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "waiting\n"
    return process


def test_a_service_that_stays_away_ends_the_process():
    _, err = (process := start("It is gone.")).communicate(timeout=60)
    assert process.returncode == 2 and err == "\nError: It is gone.\n"


@pytest.mark.parametrize("more", [1, 2, 5])
def test_the_second_ctrl_c_ends_a_process_that_hears_nothing(more):
    process = start()
    process.send_signal(signal.SIGINT)
    assert "Stopping after the current steps" in process.stderr.readline() + (
        process.stderr.readline()
    )
    assert process.poll() is None
    for _ in range(more):
        process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err == "\nStopped at once; the last checkpoint is kept.\n"


def test_a_service_that_comes_back_ends_nothing():
    code = WAITING.replace("wait(lock), wait(lock)", "import time; time.sleep(1); print('through')")
    code = code.replace("sys.argv[1] if len(sys.argv) > 1 else None", "next(answers)")
    code = code.replace("def fault", "answers = iter(['gone', 'gone', None] * 100)\ndef fault")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and done.stdout == "waiting\nthrough\n", done.stderr
