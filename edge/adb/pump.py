"""Who reads the link: a thread of its own, or, faster, the very thread that waits for an answer.

One request and its answer at a time cost mostly the waking of threads: some 50 µs each on a small machine. A thread
that waits for its stream therefore reads the link itself while nobody else does, and for a moment without sleeping at
all where answers have come fast before. It never holds on for long: after `LEND_SECONDS` it leaves the link to the
reader thread, so closing a stream, a slow answer and a broken connection are seen as if there were no such shortcut.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from edge.adb.link import MessageLink
from edge.adb.messages import Message
from foundation.errors import DeviceError

LEND_SECONDS = 0.02
SPIN_SECONDS = 0.001
# While others read, the reader thread looks again this often: the delay with which it notices a death then, and, where
# a thread waits that does not read itself, that thread's delay once the others have stopped.
_STEP_BACK_SECONDS = 0.05
_STEP_BACK_WAITED_FOR_SECONDS = 0.002


class Pump:
    """Takes messages off a link, in whichever thread, one at a time, and hands them to `handle`.

    Args:
        link: where they come from.
        handle: takes each message, in order; must not wait.
        fail: told once when the link has ended or `handle` has raised a DeviceError; the link is closed then.
        spin: whether waiting threads may spend up to `SPIN_SECONDS` of processor time to save waking up.
    """

    def __init__(
        self,
        link: MessageLink,
        handle: Callable[[Message], None],
        fail: Callable[[DeviceError], None],
        *,
        spin: bool = False,
    ) -> None:
        self._link = link
        self._handle = handle
        self._fail = fail
        self._may_spin = spin
        self._spin_seconds = 0.0
        self._reading = threading.Lock()
        self._resume = threading.Event()
        self._lent = 0
        self._waiting = 0
        self._counting = threading.Lock()
        self._ended = False

    def run(self) -> None:
        """Read until the link ends; then release it. The body of the reader thread."""
        transport = self._link.transport
        seen = 0
        while not self._ended:
            if seen != self._lent:
                seen = self._lent
                self._resume.wait(_STEP_BACK_WAITED_FOR_SECONDS if self._waiting else _STEP_BACK_SECONDS)
                self._resume.clear()
                continue
            if transport.pollable:
                transport.wait(None)
            if self._reading.acquire(blocking=False):
                try:
                    self._drain()
                finally:
                    self._reading.release()
        with self._reading:
            self._link.release()

    def read_here(self, done: Callable[[], bool]) -> bool:
        """Read the link in this thread until `done()`, for `LEND_SECONDS` at most; whether `done()` holds.

        False at once where another thread reads already.
        """
        if not self._link.transport.pollable or not self._reading.acquire(blocking=False):
            return done()
        try:
            self._lent += 1
            self._read_until(done)
        finally:
            self._reading.release()
        return done()

    def wait_elsewhere(self, waiting: Callable[[], None]) -> None:
        """Run `waiting`, which sleeps until another thread has handed it its message, and see to it that one reads."""
        with self._counting:
            self._waiting += 1
        self._resume.set()
        try:
            waiting()
        finally:
            with self._counting:
                self._waiting -= 1

    def _read_until(self, done: Callable[[], bool]) -> None:
        transport = self._link.transport
        began = now = time.perf_counter()
        while not self._ended and not done():
            if transport.ready():
                self._drain()
            elif now - began >= LEND_SECONDS:
                break
            elif now - began >= self._spin_seconds:
                transport.wait(LEND_SECONDS - (now - began))
            now = time.perf_counter()
        fast = self._may_spin and now - began < SPIN_SECONDS
        self._spin_seconds = SPIN_SECONDS if fast else 0.0

    def _drain(self) -> None:
        """Handle the next message, and those that were read ahead with it: no poll would see them."""
        transport = self._link.transport
        try:
            while not self._ended:
                if transport.pollable and not transport.ready():
                    return
                self._handle(self._link.receive())
                if transport.pollable and not transport.ahead:
                    return
        except DeviceError as error:
            self._end(error)
        except BaseException:
            # Interrupted with half a message taken: nothing sensible can follow it.
            self._end(DeviceError(f"reading from {self._link.peer} was interrupted"))
            raise

    def _end(self, error: DeviceError) -> None:
        self._ended = True
        self._link.close()
        self._fail(error)
        self._resume.set()
