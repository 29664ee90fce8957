"""adb straight over USB, without an adb server: adb-shell finds and opens the phone, our link speaks with it.

A bulk pipe carries transfers, not bytes: a message's header and payload are one transfer each; a transfer ends with a
packet that is not full, an empty one if need be; and who reads must have room for whole packets.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from adb_shell.exceptions import UsbReadFailedError, UsbWriteFailedError

from edge.adb.messages import Buffer
from foundation.errors import DeviceError

# libusb's numbers for what went wrong.
_IO, _ACCESS, _NO_DEVICE, _BUSY, _TIMEOUT = -1, -3, -4, -6, -7
# How long a transfer may sleep before it looks whether we were closed.
_SLICE_SECONDS = 0.2
_DRAIN_SECONDS = 0.01
# A multiple of every packet size; more in one transfer asks the kernel for much memory.
_LARGEST_TRANSFER = 256 << 10
_UDEV = "add udev rules for it (Debian: apt install android-sdk-platform-tools-common), plug it in again"


class BulkPipe(Protocol):
    """The part of adb-shell's `UsbTransport` that we use."""

    def bulk_read(self, numbytes: int, transport_timeout_s: float | None = None) -> bytes:
        """One transfer from the device, `numbytes` at most."""

    def bulk_write(self, data: bytes, transport_timeout_s: float | None = None) -> int:
        """One transfer to the device; how many bytes it took."""

    def close(self) -> None:
        """Give the interface back."""


class UsbTransport:
    """A claimed adb interface of a USB device; satisfies `edge.adb.transport.Transport`.

    Args:
        pipe: its bulk pipes.
        peer: its name, for error messages.
        packet: bytes in a full packet: 64, 512 or 1024.
    """

    pollable = False

    def __init__(self, pipe: BulkPipe, peer: str, packet: int) -> None:
        self.peer = peer
        self._pipe = pipe
        self._packet = packet
        self._ahead = bytearray()
        self._timeout: float | None = None
        self._closed = False

    @property
    def ahead(self) -> bool:
        """See `Transport.ahead`."""
        return bool(self._ahead)

    def send(self, header: bytes, *payload: Buffer) -> None:
        """See `Transport.send`."""
        self._transfer(memoryview(header))
        data = b"".join(payload)
        if data:
            self._transfer(memoryview(data))

    def receive(self, size: int) -> bytes:
        """See `Transport.receive`."""
        deadline = None if self._timeout is None else time.monotonic() + self._timeout
        while len(self._ahead) < size:
            missing = size - len(self._ahead)
            # Room for whole packets: the device may send no byte more than we have room for.
            room = min(-(-missing // self._packet) * self._packet, _LARGEST_TRANSFER)
            self._ahead += self._read(room, deadline)
        data = bytes(self._ahead[:size])
        del self._ahead[:size]
        return data

    def ready(self) -> bool:
        """See `Transport.ready`."""
        return bool(self._ahead) or self._closed

    def wait(self, seconds: float | None) -> None:
        """Nothing can be waited for: see `Transport.pollable`."""

    def set_timeout(self, seconds: float | None) -> None:
        """See `Transport.set_timeout`."""
        self._timeout = seconds

    def close(self) -> None:
        """See `Transport.close`; who waits wakes within a fifth of a second."""
        self._closed = True

    def release(self) -> None:
        """See `Transport.release`."""
        self._closed = True
        self._pipe.close()

    def drain(self) -> None:
        """Throw away what the device still had to say to whoever was there before us."""
        with contextlib.suppress(TimeoutError):
            while True:
                self._read(self._packet, time.monotonic() + _DRAIN_SECONDS)

    def _transfer(self, data: memoryview) -> None:
        rest = data
        while rest:
            rest = rest[self._write(bytes(rest[:_LARGEST_TRANSFER])) :]
        if len(data) % self._packet == 0:
            # Full packets only: an empty one says that this is all.
            self._write(b"")

    def _write(self, piece: bytes) -> int:
        """Offer a piece until the device takes some of it (all, unless the time for it ran out); how much it took."""
        while not self._closed:
            try:
                return self._pipe.bulk_write(piece, _SLICE_SECONDS)
            except UsbWriteFailedError as error:
                taken = self._check(error, "transferred")
                if taken:
                    return int(taken)
        raise DeviceError(f"the connection to {self.peer} was closed")

    def _read(self, room: int, deadline: float | None) -> bytes:
        """The next transfer, or a part of it."""
        while not self._closed:
            left = _SLICE_SECONDS if deadline is None else deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError
            try:
                # Less than a millisecond would be none at all, which libusb takes for ever.
                return self._pipe.bulk_read(room, max(min(left, _SLICE_SECONDS), 0.002))
            except UsbReadFailedError as error:
                received = self._check(error, "received")
                if received:
                    return bytes(received)
        raise DeviceError(f"the connection to {self.peer} was closed")

    def _check(self, error: UsbReadFailedError | UsbWriteFailedError, done: str) -> Any:
        """What was transferred before the time ran out; raises where that is not what happened."""
        # By position: only one of adb-shell's two errors gives it a name.
        cause = error.args[-1]
        if _number(cause) == _TIMEOUT:
            return getattr(cause, done, None)
        raise DeviceError(f"{self.peer} was unplugged, or its USB connection broke: {cause}") from error


@dataclass(frozen=True)
class UsbDevice:
    """A device with an adb interface on USB.

    Attributes:
        serial: None where it does not let us ask.
        hint: what to do before it can be used, None where nothing.
    """

    serial: str | None
    hint: str | None = None


def list_usb_devices() -> list[UsbDevice]:
    """Phones on USB as libusb sees them; none where there is no libusb."""
    try:
        return [known for known, _ in _find()]
    except DeviceError:
        return []


def missing() -> list[str]:
    """What keeps phones on USB from being seen, with what brings it; empty where nothing does."""
    try:
        list(_find())
    except DeviceError as error:
        return [f"{error.message}: {error.hint}"]
    return []


def open_usb(serial: str) -> UsbTransport:
    """Open the phone with that serial.

    Raises:
        DeviceError: libusb is missing, the phone is not there, may not be opened, or somebody else has it.
    """
    found = list(_find())
    wanted = next((device for known, device in found if known.serial == serial), None)
    if wanted is None:
        if any(known.serial is None for known, _ in found):
            raise DeviceError(f"no permission to ask what is on USB whether it is {serial}", hint=_UDEV)
        choices = ", ".join(f"usb:{known.serial}" for known, _ in found) or "none"
        raise DeviceError(f"no phone {serial} on USB", hint=f"is USB debugging on? there are: {choices}")
    from usb1 import USBError

    try:
        wanted.connect()
    except USBError as error:
        raise _cannot_open(serial, error) from error
    transport = UsbTransport(wanted, f"usb:{serial}", _packet_size(wanted))
    try:
        transport.drain()
    except BaseException:
        transport.release()
        raise
    return transport


def _find() -> Iterator[tuple[UsbDevice, Any]]:
    """Each phone on USB, with adb-shell's handle of it."""
    try:
        from adb_shell.transport.usb_transport import UsbTransport as Handle
        from usb1 import USBError
    except Exception as error:
        # No usb1, no shared library for it, or one that cannot start: adb-shell opens it when it is imported.
        raise DeviceError(
            f"libusb cannot be used: {error}",
            hint="pip install 'edgecat[usb]'; apt install libusb-1.0-0, or brew install libusb",
        ) from error
    for handle in Handle.find_all_adb_devices():
        try:
            yield UsbDevice(str(handle.serial_number)), handle
        except USBError:
            yield UsbDevice(None, _UDEV), handle


def _packet_size(handle: Any) -> int:
    """The size of a full packet; the two pipes of an interface have the same."""
    sizes = [int(endpoint.getMaxPacketSize()) & 0x7FF for endpoint in handle._setting.iterEndpoints()]
    return max(sizes)


def _cannot_open(serial: str, error: Exception) -> DeviceError:
    hints = {
        _ACCESS: (f"no permission to open {serial} on USB", _UDEV),
        _BUSY: (
            f"somebody else has {serial} on USB, most likely the adb server",
            f"use serial:{serial}, or end the server: adb kill-server",
        ),
        _NO_DEVICE: (f"{serial} was unplugged", "plug it in again"),
    }
    if _number(error) not in hints:
        return DeviceError(f"cannot open {serial} on USB: {error}", hint="plug it in again")
    message, hint = hints[_number(error)]
    return DeviceError(message, hint=hint)


def _number(error: BaseException | None) -> int:
    """libusb's number of an error; that of an input or output error where there is none."""
    number = getattr(error, "value", None)
    return number if isinstance(number, int) else _IO
