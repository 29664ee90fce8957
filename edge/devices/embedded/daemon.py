"""The embedded device's listener: accepts hosts on loopback and gives each a session."""

from __future__ import annotations

import contextlib
import logging
import socket
import threading

from edge.devices.embedded.session import Device, Session

MOST_CONNECTIONS = 64

_log = logging.getLogger(__name__)


class Daemon:
    """Listens on 127.0.0.1 until it is ended.

    Args:
        device: what it serves.
        port: 0 takes any free one.

    Raises:
        OSError: the port is taken.
    """

    def __init__(self, device: Device, port: int = 0) -> None:
        self._device = device
        self._listener = socket.create_server(("127.0.0.1", port), backlog=32)
        self.port: int = self._listener.getsockname()[1]
        self._sessions: set[Session] = set()
        self._lock = threading.Lock()
        self._ended = False

    def start(self) -> None:
        """Accept connections on a thread of its own."""
        threading.Thread(target=self._accept, name="adb listener", daemon=True).start()

    def end(self) -> None:
        """End every connection and every command."""
        self._ended = True
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            sessions = list(self._sessions)
        for session in sessions:
            session.end()
        self._device.processes.end_all()

    def _accept(self) -> None:
        while not self._ended:
            try:
                connected, (host, port) = self._listener.accept()
            except OSError as error:
                if self._ended:
                    return
                _log.warning("accept: %s", error)
                threading.Event().wait(0.05)
                continue
            if len(self._sessions) >= MOST_CONNECTIONS:
                connected.close()
                continue
            threading.Thread(target=self._serve, args=(connected, f"{host}:{port}"), daemon=True).start()

    def _serve(self, connected: socket.socket, peer: str) -> None:
        try:
            session = Session(self._device, connected, peer)
        except OSError:
            connected.close()
            return
        with self._lock:
            self._sessions.add(session)
        try:
            session.serve()
        finally:
            with self._lock:
                self._sessions.discard(session)
