"""The road to a device through an adb server, by adbutils: USB, emulators, and phones paired over Wi-Fi (TLS)."""

from __future__ import annotations

import contextlib
import os
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from edge.adb.connection import HOST_FEATURES
from edge.adb.messages import MAX_PAYLOAD, Buffer
from edge.adb.stream import ExactReader
from foundation.errors import AuthError, DeviceError, UsageError

if TYPE_CHECKING:
    from adbutils import AdbConnection  # type: ignore[import-untyped]

_DEFAULT_PORT = 5037
_HINTS = {
    "unauthorized": "unlock the phone and confirm the question about USB debugging",
    "authorizing": "unlock the phone and confirm the question about USB debugging",
    "offline": "unplug and plug it in again, or run adb reconnect; over Wi-Fi: edgecat devices connect HOST:PORT",
    "connecting": "wait a moment",
    "no permissions": "add udev rules for the phone (Debian: android-sdk-platform-tools-common), plug it in again",
    "recovery": "start the phone normally",
    "rescue": "start the phone normally",
    "bootloader": "start the phone normally",
    "sideload": "start the phone normally",
}


@dataclass(frozen=True)
class ServerDevice:
    """A device as the adb server lists it.

    Attributes:
        serial: adb's name for it.
        state: `device` where it can be used; `unauthorized`, `offline`, … where not.
    """

    serial: str
    state: str


def state_hint(state: str) -> str:
    """What to do about a device in a state other than `device`."""
    # The server explains "no permissions" behind it.
    word = next((known for known in _HINTS if state.startswith(known)), "")
    return _HINTS.get(word, "unplug and plug it in again, or see adb devices")


def server_address() -> tuple[str, int]:
    """Host and port of the adb server, by adb's own environment variables.

    Raises:
        UsageError: ANDROID_ADB_SERVER_PORT is no port.
    """
    port = os.environ.get("ANDROID_ADB_SERVER_PORT", str(_DEFAULT_PORT))
    if not port.isdecimal():
        raise UsageError(f"ANDROID_ADB_SERVER_PORT={port!r} is no port")
    return os.environ.get("ANDROID_ADB_SERVER_HOST", "127.0.0.1"), int(port)


def server_runs() -> bool:
    """Whether an adb server listens; never starts one."""
    try:
        socket.create_connection(server_address(), 0.5).close()
    except OSError:
        return False
    return True


def list_server_devices() -> list[ServerDevice]:
    """What the running adb server knows; nothing where none runs (none is started for this).

    Raises:
        DeviceError: what listens there is no adb server.
    """
    if not server_runs():
        return []
    lines = ask_server("host:devices").splitlines()
    return [ServerDevice(*line.split("\t", 1)) for line in lines if "\t" in line]


class ServerStream:
    """A stream through the adb server: a plain socket; satisfies `edge.adb.stream.Stream`."""

    def __init__(self, connected: socket.socket, service: str, serial: str) -> None:
        self.patience: float | None = None
        self._socket = connected
        self._service = service
        self._serial = serial
        self._closed = False
        self._reader = ExactReader(self._next_chunk)
        connected.settimeout(None)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, *pieces: Buffer) -> None:
        """See `Stream.send`."""
        try:
            self._socket.sendall(pieces[0] if len(pieces) == 1 else b"".join(pieces))
        except OSError as error:
            raise DeviceError(f"the stream {self._service!r} broke: {error}", device=self._serial) from error

    def receive_some(self) -> bytes:
        """See `Stream.receive_some`."""
        return self._reader.some()

    def receive(self, size: int) -> bytes:
        """See `Stream.receive`."""
        data = self._reader.up_to(size)
        if len(data) < size:
            raise DeviceError(
                f"the stream {self._service!r} ended after {len(data)} of {size} bytes", device=self._serial
            )
        return data

    def _next_chunk(self) -> bytes:
        try:
            self._socket.settimeout(self.patience)
            return self._socket.recv(MAX_PAYLOAD)
        except TimeoutError as error:
            words = f"nothing came on {self._service!r} for {self.patience:g} s"
            raise DeviceError(words, device=self._serial) from error
        except OSError as error:
            if self._closed:
                return b""
            raise DeviceError(f"the stream {self._service!r} broke: {error}", device=self._serial) from error

    def close(self) -> None:
        """See `Stream.close`."""
        if not self._closed:
            self._closed = True
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
            self._socket.close()


class ServerConnection:
    """A device of the adb server; satisfies `edge.adb.stream.Connection`. Starts a server where none runs.

    Args:
        serial: adb's name for the device.
        timeout: seconds to wait for the server's answers.

    Raises:
        AuthError: the device has not confirmed this computer's key.
        DeviceError: no such device, or none that can be used, or no adb.
    """

    def __init__(self, serial: str, timeout: float = 10.0) -> None:
        self.serial = serial
        self._timeout = timeout
        self._closed = False
        self._streams: set[ServerStream] = set()
        state = self._state()
        if state != "device":
            raise _unusable(serial, state)
        offered = ask_server(f"host-serial:{serial}:features", timeout, serial)
        self.features = frozenset(offered.strip().split(",")) & frozenset(HOST_FEATURES)

    @property
    def alive(self) -> bool:
        """Whether the server still has the device."""
        if self._closed:
            return False
        try:
            return server_runs() and self._state() == "device"
        except DeviceError:
            return False

    def open(self, service: str) -> ServerStream:
        """See `Connection.open`."""
        if self._closed:
            raise DeviceError("the connection was closed", device=self.serial)
        connection = _connect(self._timeout)
        try:
            _command(connection, f"host:transport:{self.serial}", self.serial)
            _command(connection, service, self.serial)
        except BaseException:
            connection.close()
            raise
        stream = ServerStream(connection.conn, service, self.serial)
        self._streams = {known for known in self._streams if not known._closed} | {stream}
        return stream

    def close(self) -> None:
        """End every stream; the server keeps the device."""
        self._closed = True
        for stream in self._streams:
            stream.close()

    def __enter__(self) -> ServerConnection:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _state(self) -> str:
        return ask_server(f"host-serial:{self.serial}:get-state", self._timeout, self.serial).strip()


def ask_server(question: str, timeout: float = 10.0, serial: str | None = None) -> str:
    """Ask the adb server something that it answers with one block of text. Starts a server where none runs.

    Raises:
        DeviceError: it refuses; carries its words. Or its answer breaks off.
    """
    from adbutils import AdbError

    connection = _connect(timeout)
    try:
        _command(connection, question, serial)
        return _read_block(connection)
    except (AdbError, OSError, ValueError, EOFError) as error:
        raise DeviceError(f"the adb server's answer to {question!r} broke off: {error}", device=serial) from error
    finally:
        # Not its own close(), which sleeps.
        connection.conn.close()


def _read_block(connection: AdbConnection) -> str:
    """A block, or a refusal that comes late, as that of a pairing does."""
    start = connection.read_exact(4)
    late = start == b"FAIL"
    size = int(connection.read_exact(4) if late else start, 16)
    words = str(connection.read_exact(size).decode("utf-8", "replace"))
    if late:
        raise DeviceError("the adb server refused", stderr=words)
    return words


def _connect(timeout: float) -> AdbConnection:
    from adbutils import AdbError

    from edge.adb.program import start_server

    host, port = server_address()
    try:
        return _dial(host, port, timeout)
    except (AdbError, OSError):
        # Ours: adbutils' way to start one lets adb print on our stdout.
        start_server(host, port)
    try:
        return _dial(host, port, timeout)
    except (AdbError, OSError) as error:
        raise DeviceError(f"no adb server on {host}:{port}: {error}", hint="install adb, then: adb devices") from error


def _dial(host: str, port: int, timeout: float) -> AdbConnection:
    from adbutils import AdbConnection

    class Dialled(AdbConnection):  # type: ignore[misc]
        """A connection that never starts a server."""

        def _safe_connect(self) -> socket.socket:
            return cast(socket.socket, self._create_socket())

    connection = Dialled(host, port)
    connection.conn.settimeout(timeout)
    return connection


def _command(connection: AdbConnection, command: str, serial: str | None) -> None:
    from adbutils import AdbError

    try:
        # Not adbutils' own: paths on a device need not be UTF-8, and it may send a part only.
        encoded = command.encode("utf-8", "surrogateescape")
        connection.conn.sendall(b"%04x" % len(encoded) + encoded)
        connection.check_okay()
    except (AdbError, OSError, ValueError) as error:
        words = str(error)
        if "unauthorized" in words:
            raise _unusable(serial or "?", "unauthorized") from error
        if serial and words == f"device '{serial}' not found":
            raise _unknown(serial) from error
        raise DeviceError(f"the adb server refused {command!r}", device=serial, stderr=words) from error


def _unknown(serial: str) -> DeviceError:
    choices = ", ".join(f"serial:{device.serial}" for device in list_server_devices()) or "none"
    return DeviceError(
        f"device {serial!r} not found: the adb server does not have it",
        hint=f"plug it in, or edgecat devices connect HOST:PORT; there are: {choices}",
    )


def _unusable(serial: str, state: str) -> DeviceError:
    hint = state_hint(state)
    if state == "unauthorized":
        return AuthError("the device has not confirmed this computer's key", device=serial, hint=hint)
    return DeviceError(f"the device is {state}", device=serial, hint=hint)
