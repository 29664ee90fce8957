"""The road to a device through an adb server, by adbutils: USB, emulators, and phones paired over Wi-Fi (TLS)."""

from __future__ import annotations

import contextlib
import os
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge.adb.connection import HOST_FEATURES
from edge.adb.messages import MAX_PAYLOAD, Buffer
from edge.adb.stream import ExactReader
from foundation.errors import AuthError, DeviceError, UsageError

if TYPE_CHECKING:
    from adbutils import AdbConnection  # type: ignore[import-untyped]

_DEFAULT_PORT = 5037


@dataclass(frozen=True)
class ServerDevice:
    """A device as the adb server lists it.

    Attributes:
        serial: adb's name for it.
        state: `device` where it can be used; `unauthorized`, `offline`, … where not.
    """

    serial: str
    state: str


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
    lines = _ask("host:devices").splitlines()
    return [ServerDevice(*line.split("\t", 1)) for line in lines if "\t" in line]


class ServerStream:
    """A stream through the adb server: a plain socket; satisfies `edge.adb.stream.Stream`."""

    def __init__(self, connected: socket.socket, service: str, serial: str) -> None:
        self._socket = connected
        self._service = service
        self._serial = serial
        self._closed = False
        self._reader = ExactReader(self._next_chunk)
        connected.settimeout(None)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, data: Buffer) -> None:
        """See `Stream.send`."""
        try:
            self._socket.sendall(data)
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
            return self._socket.recv(MAX_PAYLOAD)
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
        offered = _ask(f"host-serial:{serial}:features", timeout, serial)
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
        return _ask(f"host-serial:{self.serial}:get-state", self._timeout, self.serial).strip()


def _ask(question: str, timeout: float = 10.0, serial: str | None = None) -> str:
    """A question to the server that it answers with one block of text."""
    from adbutils import AdbError

    connection = _connect(timeout)
    try:
        _command(connection, question, serial)
        return str(connection.read_string_block())
    except (AdbError, OSError, ValueError) as error:
        raise DeviceError(f"the adb server's answer to {question!r} broke off: {error}", device=serial) from error
    finally:
        connection.close()


def _connect(timeout: float) -> AdbConnection:
    from adbutils import AdbClient, AdbError

    host, port = server_address()
    try:
        return AdbClient(host, port).make_connection(timeout)
    except (AdbError, OSError) as error:
        raise DeviceError(
            f"no adb server on {host}:{port}, and none could be started: {error}", hint="install adb, then: adb devices"
        ) from error


def _command(connection: AdbConnection, command: str, serial: str | None) -> None:
    from adbutils import AdbError

    try:
        connection.send_command(command)
        connection.check_okay()
    except (AdbError, OSError) as error:
        words = str(error)
        if "unauthorized" in words:
            raise _unusable(serial or "?", "unauthorized") from error
        raise DeviceError(f"the adb server refused {command!r}", device=serial, stderr=words) from error


def _unusable(serial: str, state: str) -> DeviceError:
    if state == "unauthorized":
        return AuthError(
            "the device has not confirmed this computer's key", device=serial, hint="confirm the question on its screen"
        )
    return DeviceError(f"the device is {state}", device=serial, hint="unplug and plug it in again, or adb reconnect")
