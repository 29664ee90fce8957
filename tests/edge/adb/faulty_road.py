"""A bad cable between host and device: slow, cut at a given byte, or changing bytes on their way."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass
class Direction:
    """What happens to the bytes of one direction.

    Attributes:
        chunk: at most so many go on at a time.
        pause: seconds before each chunk.
        cut_after: the connection ends when so many bytes have passed; None: never.
        change: is given each chunk and gives it back, as long as it was.
        passed: bytes so far.
    """

    chunk: int = 1 << 16
    pause: float = 0.0
    cut_after: int | None = None
    change: Callable[[bytes], bytes] = field(default=lambda data: data)
    passed: int = 0


class FaultyRoad:
    """Carries bytes between `host`, a socket to be used as a device's, and the device's real socket."""

    def __init__(self, device: socket.socket, up: Direction | None = None, down: Direction | None = None) -> None:
        self.host, self._ours = socket.socketpair()
        self._device = device
        self.up, self.down = up or Direction(), down or Direction()
        ways = ((self._ours, device, self.up), (device, self._ours, self.down))
        self._threads = [threading.Thread(target=self._carry, args=way, daemon=True) for way in ways]
        for thread in self._threads:
            thread.start()

    def cut(self) -> None:
        """End the connection on both sides."""
        for end in (self._ours, self._device):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """End it and wait for the threads."""
        self.cut()
        for thread in self._threads:
            thread.join(5)
        self._ours.close()
        self._device.close()

    def _carry(self, source: socket.socket, target: socket.socket, how: Direction) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(how.chunk):
                if how.pause:
                    time.sleep(how.pause)
                data = how.change(data)
                if how.cut_after is not None and how.passed + len(data) >= how.cut_after:
                    target.sendall(data[: how.cut_after - how.passed])
                    break
                target.sendall(data)
                how.passed += len(data)
        self.cut()
