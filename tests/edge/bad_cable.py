"""A cable between us and a device's adb that can be slow, cut or noisy."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections import deque
from collections.abc import Callable

_PIECE = 1 << 16


class BadCable:
    """Passes bytes on between a device's socket and `host_end`, and harms them when it is told to.

    Attributes:
        host_end: connect `edge.adb` to this.
        pause: seconds to wait after each piece of at most `piece` bytes; 0 for a good cable.
        piece: how many bytes pass at once.
    """

    def __init__(self, device_end: socket.socket) -> None:
        self.host_end, self._ours = socket.socketpair()
        self._device = device_end
        self.pause = 0.0
        self.piece = _PIECE
        self._harm: dict[str, deque[Callable[[bytes], bytes]]] = {"up": deque(), "down": deque()}
        for source, target, way in ((self._ours, self._device, "up"), (self._device, self._ours, "down")):
            threading.Thread(target=self._carry, args=(source, target, way), daemon=True).start()

    def harm_next(self, way: str, harm: Callable[[bytes], bytes]) -> None:
        """Let `harm` change the next piece on its way `up` to the device or `down` from it; b"" cuts the cable."""
        self._harm[way].append(harm)

    def close(self) -> None:
        """Cut it."""
        for end in (self._ours, self._device):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _carry(self, source: socket.socket, target: socket.socket, way: str) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(self.piece):
                if self._harm[way]:
                    data = self._harm[way].popleft()(data)
                    if not data:
                        break
                target.sendall(data)
                if self.pause:
                    time.sleep(self.pause)
        self.close()
