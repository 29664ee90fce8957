"""Commands on the device: adb's shell protocol (version 2), and what is possible without it.

A packet of `shell,v2` is its kind (1 byte), the payload's length (uint32, little-endian) and the payload.
"""

from __future__ import annotations

import secrets
import struct
import threading
from collections import deque
from dataclasses import dataclass
from enum import IntEnum

from edge.adb.messages import MAX_PAYLOAD, Buffer
from edge.adb.stream import Connection, ExactReader, Stream, cut
from foundation.errors import DeviceError, ProtocolError

HEADER = struct.Struct("<BI")
LARGEST_PACKET = MAX_PAYLOAD - HEADER.size
STDERR_KEPT = 64 << 10


class Packet(IntEnum):
    """Kinds of packets; EXIT carries one byte, WINDOW_SIZE text, CLOSE_STDIN nothing."""

    STDIN = 0
    STDOUT = 1
    STDERR = 2
    EXIT = 3
    CLOSE_STDIN = 4
    WINDOW_SIZE = 5


@dataclass(frozen=True)
class ShellResult:
    """What a command gave back.

    Attributes:
        exit_code: 0 to 255; 128 + signal where a signal ended it.
        stdout: its standard output, as it is.
        stderr: its standard error; empty where `merged`.
        merged: the device has no shell protocol: standard error stands within `stdout`.
    """

    exit_code: int
    stdout: bytes
    stderr: bytes
    merged: bool = False


class Tail:
    """The last bytes of something long."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._pieces: deque[bytes] = deque()
        self._size = 0

    def add(self, data: bytes) -> None:
        """Take more; what is older than the limit goes."""
        self._pieces.append(data)
        self._size += len(data)
        while self._size - len(self._pieces[0]) >= self._limit:
            self._size -= len(self._pieces.popleft())

    def __bytes__(self) -> bytes:
        return b"".join(self._pieces)[-self._limit :]


class ShellSession:
    """A running command on the device, its standard input and output as a two-way stream.

    One thread may write while another reads. Where the device has no shell protocol, standard error is dropped and the
    exit code stays unknown.

    Attributes:
        exit_code: None until the command's end was read.
    """

    def __init__(self, connection: Connection, command: str, *, stderr_kept: int = STDERR_KEPT) -> None:
        self.command = command
        self.exit_code: int | None = None
        self._device = connection.serial
        self._packets = "shell_v2" in connection.features
        service = f"shell,v2,raw:{command}" if self._packets else f"exec:({command}\n) 2>/dev/null"
        self._stream: Stream = connection.open(service)
        self._stderr = Tail(stderr_kept)
        self._writing = threading.Lock()
        self._left_in_packet = 0
        self._input = ExactReader(self._stream.receive_some)
        self._output = ExactReader(self._next_output)

    @property
    def patience(self) -> float | None:
        """See `Stream.patience`."""
        return self._stream.patience

    @patience.setter
    def patience(self, seconds: float | None) -> None:
        self._stream.patience = seconds

    @property
    def stderr(self) -> bytes:
        """Standard error as far as it was read on the way to standard output; the last 64 KiB of it."""
        return bytes(self._stderr)

    def write(self, *pieces: Buffer) -> None:
        """Send all the pieces, one after another, to the command's standard input.

        An adb server swallows what is sent to a command that has ended; whoever reads sees the end on every road.

        Raises:
            DeviceError: the command has ended, or the connection broke.
        """
        if not self._packets:
            self._stream.send(*pieces)
            return
        with self._writing:
            for size, part in cut(pieces, LARGEST_PACKET):
                self._stream.send(HEADER.pack(Packet.STDIN, size), *part)

    def close_stdin(self) -> None:
        """Tell the command that no more input follows. Without the shell protocol there is no way to say so."""
        if self._packets:
            with self._writing:
                self._stream.send(HEADER.pack(Packet.CLOSE_STDIN, 0))

    def read(self, size: int) -> bytes:
        """Exactly `size` bytes of standard output.

        Raises:
            DeviceError: the command ended before; carries its exit code and the end of its standard error.
        """
        data = self._output.up_to(size)
        if len(data) < size:
            raise DeviceError(
                f"{self.command!r} ended after {len(data)} of the {size} bytes expected",
                device=self._device,
                exit_status=self.exit_code,
                stderr=self.stderr.decode(errors="replace"),
            )
        return data

    def read_some(self) -> bytes:
        """What standard output has next; b"" when the command has ended."""
        return self._output.some()

    def close(self) -> None:
        """End the session; a command that still runs is hung up by the device."""
        self._stream.close()

    def __enter__(self) -> ShellSession:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _next_output(self) -> bytes:
        """The next piece of standard output, without waiting for the rest of its packet."""
        if not self._packets:
            return self._input.some()
        while not self._left_in_packet:
            header = self._input.up_to(HEADER.size)
            if len(header) < HEADER.size:
                return b""
            kind, size = HEADER.unpack(header)
            if kind == Packet.STDOUT:
                self._left_in_packet = size
            elif self._take(kind, size):
                return b""
        data = self._input.at_most(self._left_in_packet)
        self._left_in_packet -= len(data)
        return data

    def _take(self, kind: int, size: int) -> bool:
        """Take a packet that is no output; True when it says that the command has ended."""
        if kind not in (Packet.STDERR, Packet.EXIT) or size > MAX_PAYLOAD:
            raise ProtocolError(f"shell packet of kind {kind} with {size} bytes", device=self._device)
        data = self._input.up_to(size)
        if kind == Packet.STDERR:
            self._stderr.add(data)
            return False
        self.exit_code = data[0] if data else 255
        return True


def run(connection: Connection, command: str, timeout: float | None = None, stdin: bytes = b"") -> ShellResult:
    """Run a command to its end.

    Args:
        connection: the device.
        command: what the device's shell shall run.
        timeout: seconds; None waits for ever. What still runs then is hung up.
        stdin: the command's standard input.

    Raises:
        DeviceError: the connection broke, the time is over, or `stdin` is given and the device cannot take it.
    """
    if "shell_v2" not in connection.features:
        return _run_merged(connection, command, timeout, stdin)
    # Nobody wants the tail of a finished command's errors only: keep what a terminal would have shown.
    with ShellSession(connection, command, stderr_kept=16 << 20) as session, _Deadline(session, timeout) as deadline:
        feeder = threading.Thread(target=_feed, args=(session, stdin), name="adb stdin", daemon=True)
        if stdin:
            feeder.start()
        else:
            _feed(session, stdin)
        stdout = _read_all(session, deadline)
        if session.exit_code is None:
            raise DeviceError(f"{command!r}: the connection ended before the command", device=connection.serial)
        return ShellResult(session.exit_code, stdout, session.stderr)


def _run_merged(connection: Connection, command: str, timeout: float | None, stdin: bytes) -> ShellResult:
    """Without the shell protocol: the exit code comes behind a marker at the end of the output."""
    if stdin:
        raise DeviceError(f"{command!r} needs input", device=connection.serial, hint="the device has no shell_v2")
    marker = f"edgecat-{secrets.token_hex(8)}:"
    stream = connection.open(f"exec:({command}\n) 2>&1 </dev/null; echo {marker}$?")
    with _Deadline(stream, timeout) as deadline:
        try:
            output = _read_all(stream, deadline)
        finally:
            stream.close()
    stdout, found, code = output.rpartition(marker.encode())
    if not found or not code.strip().isdigit():
        raise DeviceError(f"{command!r}: the connection ended before the command", device=connection.serial)
    return ShellResult(int(code), stdout, b"", merged=True)


def _feed(session: ShellSession, stdin: bytes) -> None:
    try:
        session.write(stdin)
        session.close_stdin()
    except DeviceError:
        # A command need not read its input to the end; what it says and how it ends tells whether that was an error.
        return


def _read_all(source: ShellSession | Stream, deadline: _Deadline) -> bytes:
    some = source.read_some if isinstance(source, ShellSession) else source.receive_some
    pieces = []
    try:
        while piece := some():
            pieces.append(piece)
    except DeviceError:
        deadline.check()
        raise
    deadline.check()
    return b"".join(pieces)


class _Deadline:
    """Closes a session or stream when its time is over, which wakes whoever reads it."""

    def __init__(self, target: ShellSession | Stream, seconds: float | None) -> None:
        self._seconds = seconds
        self._passed = False
        self._target = target
        self._timer = None if seconds is None else threading.Timer(seconds, self._pass)

    def __enter__(self) -> _Deadline:
        if self._timer is not None:
            self._timer.daemon = True
            self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _pass(self) -> None:
        self._passed = True
        self._target.close()

    def check(self) -> None:
        """Raise DeviceError if the time is over."""
        if self._passed:
            raise DeviceError(f"no end after {self._seconds:g} s; the command was hung up")
