"""A port on loopback for those who cannot take a file descriptor: adb itself, adb-shell. adbd asks them for no key."""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
from pathlib import Path

from edge.devices.system.handover import connect

_BLOCK = 1 << 18
_log = logging.getLogger(__name__)


class Relay:
    """Passes bytes on between 127.0.0.1 and a device, two threads to a connection.

    Args:
        path: the device's socket file.
        port: 0 takes any free one.

    Raises:
        OSError: the port is taken.
    """

    def __init__(self, path: Path, port: int) -> None:
        self._path = path
        self._listener = socket.create_server(("127.0.0.1", port), backlog=32)
        self.address: tuple[str, int] = self._listener.getsockname()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError as error:
                _log.warning("accept: %s", error)
                threading.Event().wait(0.05)
                continue
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client:
            try:
                device = connect(self._path)
            except OSError as error:
                _log.warning("a client was turned away: %s", error)
                return
            with device:
                for end in (client, device):
                    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                back = threading.Thread(target=_pass_on, args=(device, client), daemon=True)
                back.start()
                _pass_on(client, device)
                back.join()


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    room = memoryview(bytearray(_BLOCK))
    with contextlib.suppress(OSError):
        while size := source.recv_into(room):
            target.sendall(room[:size])
    # adb closes both directions at once; half-closed connections have no meaning in it.
    for end in (source, target):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
