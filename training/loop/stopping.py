"""Stop a run on a signal or a lost service, even while TensorFlow blocks the main thread.

Python runs signal handlers between two bytecode instructions of the main thread, so not while that
thread waits in TensorFlow. A second thread receives signals at once, through a pipe.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

GRACE = 3.0  # seconds from the second Ctrl-C to the end of a process that does not react
LOOK_EVERY = 2.0  # seconds between two checks of the service that a call waits for
MOST_ABSENCE = 30.0  # seconds without that service until the process ends


class Interrupted(KeyboardInterrupt):
    """The user or the system asked the run to stop; its checkpoint is written."""


class StopFlag:
    """Set by Ctrl-C, SIGTERM or a terminal that closes; a second Ctrl-C stops at once."""

    _fault: Callable[[], str | None] | None = None  # see `waiting_for`

    def __init__(self) -> None:
        self.requested = False
        self._at_once = threading.Event()  # the main thread has received the second Ctrl-C

    @contextmanager
    def listening(self) -> Iterator[StopFlag]:
        """Turn the signals into this flag while the block runs (in the main thread)."""
        if threading.current_thread() is not threading.main_thread():
            yield self
            return
        signals = [signal.SIGINT, signal.SIGTERM]
        if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # ignored under nohup
            signals.append(signal.SIGHUP)

        def request(signum: int, frame: Any) -> None:
            if self.requested and signum == signal.SIGINT:
                self._at_once.set()
                raise KeyboardInterrupt
            self.requested = True

        heard, told = socket.socketpair()
        told.setblocking(False)
        ended = threading.Event()
        thread = threading.Thread(target=self._watch, args=(heard, ended), daemon=True)
        before = {each: signal.signal(each, request) for each in signals}
        wakeup = signal.set_wakeup_fd(told.fileno(), warn_on_full_buffer=False)
        thread.start()
        try:
            yield self
        finally:
            signal.set_wakeup_fd(wakeup)
            for each, handler in before.items():
                signal.signal(each, handler)
            ended.set()
            told.close()
            thread.join()
            heard.close()

    @contextmanager
    def waiting_for(self, fault: Callable[[], str | None]) -> Iterator[None]:
        """End the process, with a sentence and exit code 2, if the block waits for a lost service.

        Args:
            fault: returns None while the service answers, else a sentence. Called in another
                thread.
        """
        self._fault = fault
        try:
            yield
        finally:
            self._fault = None

    def _watch(self, heard: socket.socket, ended: threading.Event) -> None:
        heard.settimeout(LOOK_EVERY)
        interrupts = 0
        absent: tuple[Any, float] | None = None  # the service waited for, and since when
        while not ended.is_set():
            with suppress(TimeoutError):
                interrupts += heard.recv(64).count(signal.SIGINT)
                if interrupts == 1:
                    _tell("Stopping after the current steps. Ctrl-C again stops at once.")
                if interrupts > 1 and not self._at_once.wait(GRACE):
                    _end("Stopped at once; the last checkpoint is kept.", 128 + signal.SIGINT)
            fault = self._fault
            problem = fault() if fault else None
            if problem is None or fault is not self._fault:
                absent = None
            elif absent is None or absent[0] is not fault:
                absent = fault, time.monotonic()
            elif time.monotonic() - absent[1] > MOST_ABSENCE:
                _end(f"Error: {problem}", 2)


def _tell(text: str) -> None:
    with suppress(OSError):
        os.write(2, f"\n{text}\n".encode())


def _end(text: str, code: int) -> None:
    """End this process even if its main thread is blocked; the system releases its locks."""
    _tell(text)
    os._exit(code)
