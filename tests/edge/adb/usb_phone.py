"""A phone on a USB bus that is none: strict about transfers and packets, with the embedded device behind it."""

from __future__ import annotations

import queue
import random
import socket
import threading
import time

from adb_shell.exceptions import UsbReadFailedError, UsbWriteFailedError

from edge.adb.messages import HEADER

TIMEOUT, OVERFLOW, NO_DEVICE = -7, -8, -4


class FakeUsbError(Exception):
    """As usb1.USBError: a number, and what was transferred before the time ran out."""

    def __init__(self, value: int, *, received: bytes = b"", transferred: int = 0) -> None:
        super().__init__(f"libusb error {value}")
        self.value = value
        self.received = received
        self.transferred = transferred


class UsbPhone:
    """Satisfies `edge.adb.usb.BulkPipe`.

    Takes header and payload in transfers of their own only, each ended by a packet that is not full; gives packets; a
    read without room for the next packet overflows and loses it, as on a real bus.

    Args:
        address: of the embedded device that answers.
        packet: size of a full packet.
        chance: where time-outs in the middle of transfers come from; None: there are none.
        empty_packets: whether the phone, too, ends transfers of full packets with an empty one.
    """

    def __init__(
        self, address: tuple[str, int], packet: int, chance: random.Random | None = None, *, empty_packets: bool = False
    ) -> None:
        self.violations: list[str] = []
        self.closed = False
        self._packet = packet
        self._chance = chance
        self._empty_packets = empty_packets
        self._socket = socket.create_connection(address)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._stream = self._socket.makefile("rb")
        self._packets: queue.Queue[bytes] = queue.Queue()
        self._transfer = bytearray()
        self._due = HEADER.size
        self._gone = threading.Event()
        self._thread = threading.Thread(target=self._speak, daemon=True)
        self._thread.start()

    def unplug(self) -> None:
        """The cable is pulled."""
        self._gone.set()

    def bulk_read(self, numbytes: int, transport_timeout_s: float | None = None) -> bytes:
        assert transport_timeout_s
        deadline = time.monotonic() + transport_timeout_s
        received = b""
        while len(received) < numbytes:
            try:
                if self._chance is not None and received and self._chance.random() < 0.02:
                    raise queue.Empty
                packet = self._next_packet(deadline)
            except queue.Empty:
                raise UsbReadFailedError("read", FakeUsbError(TIMEOUT, received=received)) from None
            if len(packet) > numbytes - len(received):
                self.violations.append(f"no room for a packet of {len(packet)} in {numbytes}")
                raise UsbReadFailedError("read", FakeUsbError(OVERFLOW))
            received += packet
            if len(packet) < self._packet:
                break
        return received

    def bulk_write(self, data: bytes, transport_timeout_s: float | None = None) -> int:
        assert transport_timeout_s
        if self._gone.is_set():
            raise UsbWriteFailedError("write", FakeUsbError(NO_DEVICE))
        if self._chance is not None and self._chance.random() < 0.1:
            data = data[: self._chance.randrange(len(data) // self._packet + 1) * self._packet]
            self._take(data, ends=False)
            raise UsbWriteFailedError("write", FakeUsbError(TIMEOUT, transferred=len(data)))
        self._take(data, ends=len(data) % self._packet != 0 or not data)
        return len(data)

    def close(self) -> None:
        self.closed = True
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join(5)
        self._stream.close()
        self._socket.close()

    def _next_packet(self, deadline: float) -> bytes:
        while True:
            if self._gone.is_set():
                raise UsbReadFailedError("read", FakeUsbError(NO_DEVICE))
            try:
                return self._packets.get(timeout=min(0.01, max(deadline - time.monotonic(), 0.0)))
            except queue.Empty:
                if time.monotonic() >= deadline:
                    raise

    def _take(self, data: bytes, *, ends: bool) -> None:
        self._transfer += data
        if not ends:
            return
        if len(self._transfer) != self._due:
            self.violations.append(f"a transfer of {len(self._transfer)} bytes where {self._due} are due")
        length = HEADER.unpack(self._transfer)[3] if self._due == HEADER.size else 0
        self._due = length or HEADER.size
        self._socket.sendall(self._transfer)
        self._transfer.clear()

    def _speak(self) -> None:
        try:
            while header := self._stream.read(HEADER.size):
                self._put(header)
                if length := HEADER.unpack(header)[3]:
                    self._put(self._stream.read(length))
        except (OSError, ValueError):
            return

    def _put(self, transfer: bytes) -> None:
        for begin in range(0, len(transfer), self._packet):
            self._packets.put(transfer[begin : begin + self._packet])
        if self._empty_packets and len(transfer) % self._packet == 0:
            self._packets.put(b"")
