"""Shell commands on the embedded device: `shell:`, `shell,v2,raw:`, `shell,v2,pty:` and `exec:`."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edge.adb.multiplex import MuxStream
from edge.adb.shell import HEADER, LARGEST_PACKET, Packet
from edge.devices.embedded.processes import ProcessGroup, ProcessRegistry
from foundation.errors import DeviceError

_POLL_MS = 250
_F_SETPIPE_SZ = 1031
_STDIN_PIECE = 1 << 18
# An interactive shell wants its terminal to be its controlling one; only the child itself can see to that.
_ON_TERMINAL = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0);"
    "os.execv('/bin/sh', ['/bin/sh'] + (['-c', sys.argv[1]] if sys.argv[1] else []))"
)


@dataclass(frozen=True)
class ShellRequest:
    """What a `shell…:` or `exec:` service asks for."""

    command: str
    packets: bool
    terminal: str | None

    @classmethod
    def parse(cls, service: str) -> ShellRequest:
        """Read a service name.

        As AOSP's adbd does: without a command, or with `pty`, on a terminal; `raw` and `exec:` never.
        """
        head, _, command = service.partition(":")
        kind, *options = head.split(",")
        name = next((option[5:] for option in options if option.startswith("TERM=")), "dumb")
        on_terminal = kind == "shell" and "raw" not in options and (not command or "pty" in options)
        return cls(command, "v2" in options, name if on_terminal else None)


@dataclass(frozen=True)
class Ends:
    """The device's ends of a command's standard streams; `outputs` maps file descriptors to packet kinds."""

    stdin: int
    outputs: dict[int, Packet]

    def close_all(self) -> None:
        """Give every descriptor back."""
        for descriptor in {self.stdin, *self.outputs}:
            with contextlib.suppress(OSError):
                os.close(descriptor)


class ShellService:
    """Runs one command for one stream, from start to the end of its process group."""

    def __init__(self, root: Path, environment: dict[str, str], processes: ProcessRegistry) -> None:
        self._root = root
        self._environment = environment
        self._processes = processes

    def serve(self, request: ShellRequest, stream: MuxStream, accept: Callable[[], None]) -> None:
        """Run the command, carry its streams, send its exit code, end its group.

        Raises:
            OSError: the command cannot be started; nothing was accepted.
        """
        group, ends = self._start_on_terminal(request) if request.terminal else self._start(request)
        feeder = _Feeder(stream, group, ends, request)
        thread = threading.Thread(target=feeder.run, name="adb stdin", daemon=True)
        try:
            with contextlib.suppress(DeviceError):
                accept()
                thread.start()
                _carry_output(stream, ends, packets=request.packets)
                if request.packets and not stream.ended:
                    code = _wait(group, stream)
                    stream.send(HEADER.pack(Packet.EXIT, 1) + bytes([code & 0xFF]))
        finally:
            stream.close()
            group.end()
            if thread.ident is not None:
                thread.join()
            ends.close_all()

    def _start(self, request: ShellRequest) -> tuple[ProcessGroup, Ends]:
        with contextlib.ExitStack() as unwind:
            their_in, our_in = _pipe(unwind)
            our_out, their_out = _pipe(unwind)
            outputs = {our_out: Packet.STDOUT}
            their_err = their_out
            if request.packets:
                our_err, their_err = _pipe(unwind)
                outputs[our_err] = Packet.STDERR
            arguments = ["/bin/sh", "-c", request.command] if request.command else ["/bin/sh"]
            process = self._spawn(arguments, their_in, their_out, their_err, {})
            unwind.pop_all()
        for descriptor in {their_in, their_out, their_err}:
            os.close(descriptor)
        return self._processes.add(process), Ends(our_in, outputs)

    def _start_on_terminal(self, request: ShellRequest) -> tuple[ProcessGroup, Ends]:
        ours, theirs = pty.openpty()
        try:
            arguments = [sys.executable, "-I", "-S", "-c", _ON_TERMINAL, request.command]
            process = self._spawn(arguments, theirs, theirs, theirs, {"TERM": request.terminal or "dumb"})
        except OSError:
            os.close(ours)
            raise
        finally:
            os.close(theirs)
        return self._processes.add(process), Ends(ours, {ours: Packet.STDOUT})

    def _spawn(
        self, arguments: list[str], stdin: int, stdout: int, stderr: int, extra: dict[str, str]
    ) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            arguments,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            cwd=self._root,
            env=self._environment | extra,
            start_new_session=True,
        )


class _Feeder:
    """Carries the host's bytes to the command's stdin; hangs the command up when the host ends the stream."""

    def __init__(self, stream: MuxStream, group: ProcessGroup, ends: Ends, request: ShellRequest) -> None:
        self._stream = stream
        self._group = group
        self._ends = ends
        self._request = request
        self._open = True
        # Never blocked in a write: who left the group may hold the other end for ever.
        os.set_blocking(ends.stdin, False)
        self._writable = select.poll()
        self._writable.register(ends.stdin, select.POLLOUT)

    def run(self) -> None:
        """Until the stream ends."""
        with contextlib.suppress(DeviceError):
            self._packets() if self._request.packets else self._raw()
        if not self._request.terminal:
            # As adbd does: a command that does not heed SIGHUP sees the end of its input.
            self._close()
        self._group.hang_up()

    def _raw(self) -> None:
        while data := self._stream.receive_some():
            self._write(data)

    def _packets(self) -> None:
        while True:
            kind, size = HEADER.unpack(self._stream.receive(HEADER.size))
            if kind == Packet.STDIN:
                while size:
                    data = self._stream.receive(min(size, _STDIN_PIECE))
                    size -= len(data)
                    self._write(data)
                continue
            data = self._stream.receive(min(size, _STDIN_PIECE))
            if kind == Packet.CLOSE_STDIN:
                self._close()
            elif kind == Packet.WINDOW_SIZE and self._request.terminal:
                _resize(self._ends.stdin, data)

    def _write(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest and self._open and not self._stream.ended:
            try:
                rest = rest[os.write(self._ends.stdin, rest) :]
            except BlockingIOError:
                self._writable.poll(_POLL_MS)
            except OSError:
                # The command reads no more; what the host still sends is taken and dropped, as on a phone.
                self._close()

    def _close(self) -> None:
        if not self._open:
            return
        self._open = False
        if self._request.terminal:
            with contextlib.suppress(OSError):
                os.write(self._ends.stdin, b"\x04")
        else:
            # The number stays taken, so that nobody else's file can get it before `close_all`.
            _close_keeping_number(self._ends.stdin)


def _carry_output(stream: MuxStream, ends: Ends, *, packets: bool) -> None:
    """Send what the command writes until it has closed its outputs, or the stream ends."""
    waiting = select.poll()
    for descriptor in ends.outputs:
        waiting.register(descriptor, select.POLLIN)
    start = HEADER.size if packets else 0
    room = bytearray(start + LARGEST_PACKET)
    view = memoryview(room)
    left = len(ends.outputs)
    while left and not stream.ended:
        for descriptor, _ in waiting.poll(_POLL_MS):
            size = _read_into(descriptor, view[start:])
            if not size:
                waiting.unregister(descriptor)
                left -= 1
                continue
            if packets:
                HEADER.pack_into(room, 0, ends.outputs[descriptor], size)
            stream.send(view[: start + size])


def _read_into(descriptor: int, room: memoryview) -> int:
    try:
        return os.readv(descriptor, [room])
    except OSError:
        # A terminal whose last process has ended says EIO instead of end of file.
        return 0


def _wait(group: ProcessGroup, stream: MuxStream) -> int:
    """The exit code; the outputs are closed already, so it is near (unless the command closed them itself)."""
    waiter: Callable[[float], object] = threading.Event().wait
    pause = 0.0005
    while (code := group.exit_code()) is None and not stream.ended:
        waiter(pause)
        pause = min(pause * 2, 0.05)
    return 255 if code is None else code


def _pipe(unwind: contextlib.ExitStack) -> tuple[int, int]:
    read, write = os.pipe()
    unwind.callback(os.close, read)
    unwind.callback(os.close, write)
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            fcntl.fcntl(write, _F_SETPIPE_SZ, LARGEST_PACKET)
    return read, write


def _close_keeping_number(descriptor: int) -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.dup2(nowhere, descriptor, inheritable=False)
    finally:
        os.close(nowhere)


def _resize(descriptor: int, text: bytes) -> None:
    """Apply adb's window size, `rowsxcols,xpixelsxypixels`."""
    try:
        cells, pixels = text.rstrip(b"\0").split(b",")
        rows, columns = (int(number) for number in cells.split(b"x"))
        width, height = (int(number) for number in pixels.split(b"x"))
        fcntl.ioctl(descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, width, height))
    except (ValueError, struct.error, OSError):
        return
