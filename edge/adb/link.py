"""Whole adb messages over one transport. Shared by the host's and the embedded device's side."""

from __future__ import annotations

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
from edge.adb.transport import Transport
from foundation.errors import ProtocolError


class MessageLink:
    """Sends messages whole, from any thread; one thread at a time receives them.

    Attributes:
        transport: what carries the bytes.
        peer: the other side's name, for error messages.
        version: adb's protocol version as agreed; until `agree` the oldest, which has checksums.
        max_payload: the longest payload that may be sent, bytes.
        accepts: the longest payload that is taken, bytes.
    """

    def __init__(self, transport: Transport, accepts: int = MAX_PAYLOAD) -> None:
        self.transport = transport
        self.peer = transport.peer
        self.version = VERSION - 1
        self.max_payload = MAX_PAYLOAD_BEFORE_CONNECT
        self.accepts = accepts
        self._agreed = False
        self._sending = threading.Lock()

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
        self.transport.set_timeout(seconds)

    def send(self, command: int, arg0: int, arg1: int, *payload: Buffer) -> None:
        """Send one message whole. Its payload, in pieces, must not be longer than `max_payload`.

        Raises:
            DeviceError: the connection broke.
        """
        checksum = sum(map(payload_checksum, payload)) & 0xFFFFFFFF if self.version < VERSION else 0
        header = pack_header(command, arg0, arg1, sum(map(len, payload)), checksum)
        try:
            with self._sending:
                self.transport.send(header, *payload)
        except BaseException:
            # Half a message may be out: nothing sensible can follow it.
            self.close()
            raise

    def receive(self) -> Message:
        """Wait for the next message.

        Raises:
            ProtocolError: what came is no adb message, or longer than agreed.
            DeviceError: the other side closed the connection, or it broke.
            TimeoutError: see `set_timeout`.
        """
        header = unpack_header(self.transport.receive(HEADER.size), self.accepts)
        data = self.transport.receive(header.length) if header.length else b""
        if self._agreed and self.version < VERSION and header.checksum != payload_checksum(data):
            raise ProtocolError(f"{self.peer} sent a torn {command_name(header.command)}: wrong checksum")
        return Message(header.command, header.arg0, header.arg1, data)

    def close(self) -> None:
        """End the connection; a thread that waits in `receive` wakes."""
        self.transport.close()

    def release(self) -> None:
        """End the connection and give it back; only when no thread receives any more.

        Waits for the thread that sends: libusb's handle must not be closed under a transfer.
        """
        self.transport.close()
        with self._sending:
            self.transport.release()
