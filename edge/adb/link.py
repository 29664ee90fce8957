"""Whole adb messages over one TCP socket. Shared by the host's and the embedded device's side."""

from __future__ import annotations

import contextlib
import socket
import threading

from edge.adb.messages import (
    HEADER,
    MAX_PAYLOAD,
    MAX_PAYLOAD_BEFORE_CONNECT,
    VERSION,
    Buffer,
    Message,
    command_name,
    pack_header,
    payload_checksum,
    unpack_header,
)
from foundation.errors import DeviceError, ProtocolError


class MessageLink:
    """Sends messages whole, from any thread; one thread receives them.

    Attributes:
        peer: the other side's name, for error messages.
        version: adb's protocol version as agreed; until `agree` the oldest, which has checksums.
        max_payload: the longest payload that may be sent, bytes.
        accepts: the longest payload that is taken, bytes.
    """

    def __init__(self, connected: socket.socket, peer: str, accepts: int = MAX_PAYLOAD) -> None:
        self.peer = peer
        self.version = VERSION - 1
        self.max_payload = MAX_PAYLOAD_BEFORE_CONNECT
        self.accepts = accepts
        self._agreed = False
        self._socket = connected
        self._sending = threading.Lock()
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        _watch_for_death(connected)

    def agree(self, version: int, max_payload: int) -> None:
        """Take the other side's CNXN: from here on checksums depend on the version.

        Raises:
            ProtocolError: a payload size that no adb has.
        """
        if max_payload < 1:
            raise ProtocolError(f"{self.peer} accepts payloads of {max_payload} bytes")
        self.version = min(version, VERSION)
        self.max_payload = min(max_payload, MAX_PAYLOAD)
        self.accepts = MAX_PAYLOAD
        self._agreed = True

    def set_timeout(self, seconds: float | None) -> None:
        """How long `receive` may wait before it raises TimeoutError; None for ever."""
        self._socket.settimeout(seconds)

    def send(self, command: int, arg0: int, arg1: int, data: Buffer = b"") -> None:
        """Send one message whole. `data` must not be longer than `max_payload`.

        Raises:
            DeviceError: the connection broke.
        """
        checksum = payload_checksum(data) if self.version < VERSION else 0
        header = pack_header(command, arg0, arg1, len(data), checksum)
        try:
            with self._sending:
                sent = self._socket.sendmsg((header, data))
                if sent < len(header) + len(data):
                    self._send_rest(header, data, sent)
        except OSError as error:
            self.close()
            raise DeviceError(f"the connection to {self.peer} broke: {error.strerror or error}") from error
        except BaseException:
            # Half a message may be out: nothing sensible can follow it.
            self.close()
            raise

    def _send_rest(self, header: bytes, data: Buffer, sent: int) -> None:
        if sent < len(header):
            self._socket.sendall(header[sent:])
            sent = len(header)
        self._socket.sendall(memoryview(data)[sent - len(header) :])

    def receive(self) -> Message:
        """Wait for the next message.

        Raises:
            ProtocolError: what came is no adb message, or longer than agreed.
            DeviceError: the other side closed the connection, or it broke.
            TimeoutError: see `set_timeout`.
        """
        header = unpack_header(self._receive_exactly(HEADER.size), self.accepts)
        data = self._receive_exactly(header.length) if header.length else b""
        if self._agreed and self.version < VERSION and header.checksum != payload_checksum(data):
            raise ProtocolError(f"{self.peer} sent a torn {command_name(header.command)}: wrong checksum")
        return Message(header.command, header.arg0, header.arg1, data)

    def _receive_exactly(self, size: int) -> bytes:
        pieces = []
        missing = size
        while missing:
            try:
                # On a blocking socket one call brings everything, without a copy.
                piece = self._socket.recv(missing, socket.MSG_WAITALL)
            except TimeoutError:
                raise
            except OSError as error:
                raise DeviceError(f"the connection to {self.peer} broke: {error.strerror or error}") from error
            if not piece:
                raise DeviceError(f"{self.peer} closed the connection")
            pieces.append(piece)
            missing -= len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def close(self) -> None:
        """End the connection; a thread that waits in `receive` wakes."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def release(self) -> None:
        """Give the socket back; only when no thread receives any more."""
        self.close()
        self._socket.close()


def _watch_for_death(connected: socket.socket) -> None:
    """Let the kernel notice a peer that vanished without a word (cable, Wi-Fi) in some 15 s."""
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    settings = {"TCP_KEEPIDLE": 5, "TCP_KEEPINTVL": 3, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": 15_000}
    for name, value in settings.items():
        if hasattr(socket, name):
            with contextlib.suppress(OSError):
                connected.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
