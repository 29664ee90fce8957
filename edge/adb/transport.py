"""What adb's messages travel on: bytes, whole and in order. A TCP socket here; USB in `edge.adb.usb`."""

from __future__ import annotations

import contextlib
import select
import socket
import struct
from typing import Protocol

from edge.adb.messages import Buffer
from foundation.errors import DeviceError

_READ_AHEAD = 64 << 10
# A peer whose kernel lives but whose adb is frozen takes no bytes any more, and does not hang up.
_SEND_SECONDS = 30


class Transport(Protocol):
    """A two-way road for bytes. Any thread may send, one at a time; one thread at a time receives.

    Attributes:
        peer: the other side's name, for error messages.
    """

    peer: str

    @property
    def pollable(self) -> bool:
        """Whether `ready` and `wait` can be asked; where not, one thread has to sit in `receive`."""

    @property
    def ahead(self) -> bool:
        """Whether bytes were taken from the system that `receive` has not given yet; no `wait` wakes for them."""

    def send(self, header: bytes, *payload: Buffer) -> None:
        """Send header and payload (in pieces) whole; waits where the other side does not take them yet.

        Raises:
            DeviceError: the road broke.
        """

    def receive(self, size: int) -> bytes:
        """Exactly `size` bytes.

        Raises:
            DeviceError: the other side closed the road, or it broke.
            TimeoutError: see `set_timeout`.
        """

    def ready(self) -> bool:
        """Whether `receive` has something to give, or an end to tell, without waiting. One system call at most."""

    def wait(self, seconds: float | None) -> None:
        """Wait until `ready` may have changed, `seconds` at most; None for ever."""

    def set_timeout(self, seconds: float | None) -> None:
        """How long `receive` may wait before it raises TimeoutError; None for ever."""

    def close(self) -> None:
        """End the road; a thread that waits in `receive`, `wait` or `send` wakes. Closing twice does no harm."""

    def release(self) -> None:
        """Give the system's resources back; only when no thread receives any more."""


class SocketTransport:
    """A connected TCP (or Unix) socket; satisfies `Transport`.

    Small messages come several to a system call, by reading ahead; large ones arrive in place.
    """

    pollable = True

    def __init__(self, connected: socket.socket, peer: str) -> None:
        self._socket = connected
        self.peer = peer
        # What was read ahead, from `_at` on: slices of bytes are cheaper than those of memoryviews.
        self._ahead = b""
        self._at = 0
        self._ended = False
        self._look = _poll_for(connected)
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", _SEND_SECONDS, 0))
        if connected.family != socket.AF_UNIX:
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            _watch_for_death(connected)

    @property
    def ahead(self) -> bool:
        """See `Transport.ahead`."""
        return self._at < len(self._ahead)

    def send(self, header: bytes, *payload: Buffer) -> None:
        """See `Transport.send`."""
        try:
            sent = self._socket.sendmsg((header, *payload))
            if sent < len(header) + sum(map(len, payload)):
                # Rare: a blocking socket takes everything at once, unless a signal comes.
                self._socket.sendall(memoryview(b"".join((header, *payload)))[sent:])
        except BlockingIOError as error:
            raise DeviceError(f"{self.peer} took nothing for {_SEND_SECONDS} s") from error
        except OSError as error:
            raise self._broken(error) from error

    def receive(self, size: int) -> bytes:
        """See `Transport.receive`."""
        first = self._ahead[self._at : self._at + size]
        self._at += len(first)
        missing = size - len(first)
        if not missing:
            return first
        pieces = [first] if first else []
        while missing:
            # On a blocking socket one call brings everything, without a copy.
            piece = self._receive_some(missing, socket.MSG_WAITALL)
            if not piece:
                raise DeviceError(f"{self.peer} closed the connection")
            pieces.append(piece)
            missing -= len(piece)
        return b"".join(pieces)

    def ready(self) -> bool:
        """See `Transport.ready`."""
        if self._at < len(self._ahead) or self._ended:
            return True
        # Asked for in vain some hundred thousand times a second: a poll is five times cheaper than an exception.
        if not self._look.poll(0):
            return False
        try:
            piece = self._socket.recv(_READ_AHEAD, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError:
            # `receive` meets it again and says it.
            return True
        self._ahead, self._at, self._ended = piece, 0, not piece
        return True

    def wait(self, seconds: float | None) -> None:
        """See `Transport.wait`."""
        if not self.ahead and not self._ended:
            # One of its own: two threads may wait here, the reader thread and one that reads for itself.
            _poll_for(self._socket).poll(None if seconds is None else seconds * 1000)

    def set_timeout(self, seconds: float | None) -> None:
        """See `Transport.set_timeout`."""
        self._socket.settimeout(seconds)

    def close(self) -> None:
        """See `Transport.close`."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def release(self) -> None:
        """See `Transport.release`."""
        self.close()
        self._socket.close()

    def _receive_some(self, size: int, flags: int) -> bytes:
        try:
            return b"" if self._ended else self._socket.recv(size, flags)
        except TimeoutError:
            raise
        except OSError as error:
            raise self._broken(error) from error

    def _broken(self, error: OSError) -> DeviceError:
        return DeviceError(f"the connection to {self.peer} broke: {error.strerror or error}")


def _poll_for(connected: socket.socket) -> select.poll:
    poll = select.poll()
    poll.register(connected, select.POLLIN)
    return poll


def _watch_for_death(connected: socket.socket) -> None:
    """Let the kernel notice a peer that vanished without a word (cable, Wi-Fi) in some 15 s."""
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    settings = {"TCP_KEEPIDLE": 5, "TCP_KEEPINTVL": 3, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": 15_000}
    for name, value in settings.items():
        if hasattr(socket, name):
            with contextlib.suppress(OSError):
                connected.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def dial(host: str, port: int, timeout: float = 10.0) -> SocketTransport:
    """Connect to the adb that listens at `host:port`, within `timeout` seconds.

    Raises:
        DeviceError: nobody there.
    """
    try:
        return SocketTransport(socket.create_connection((host, port), timeout), f"{host}:{port}")
    except OSError as error:
        raise DeviceError(
            f"cannot connect to {host}:{port}: {error.strerror or error}",
            hint="is the device on and listening? (adb tcpip 5555, or edgecat emulator start embedded)",
        ) from error
