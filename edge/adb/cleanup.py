"""A shell on the device that tidies up after the host, even when the host vanishes."""

from __future__ import annotations

import contextlib
import re
import secrets
import shlex

from edge.adb.shell import ShellSession
from edge.adb.stream import Connection
from foundation.errors import DeviceError

_LONGEST_ANSWER = 1 << 20


class CleanupShell:
    """Runs one command after another, and a last one however it ends: a context manager.

    The last one runs too when the cable is pulled or this process is killed: the device then ends the shell's input. It
    works with every POSIX shell (mksh on Android, dash, bash).

    Args:
        connection: the device.
        last: the command that runs in the end; `$regular` is empty there where the host vanished.
    """

    def __init__(self, connection: Connection, last: str) -> None:
        self._device = connection.serial
        self._marker = f"edgecat-{secrets.token_hex(8)}"
        # Standard error stands within the output: the two come over different pipes, and only one has the marker.
        self._session = ShellSession(connection, "exec sh 2>&1")
        self._rest = b""
        try:
            # Only the end of its input ends it: a signal would end the last command too.
            self.check(f"regular=; trap '' HUP INT TERM PIPE\ntrap {shlex.quote(last)} EXIT")
        except BaseException:
            self._session.close()
            raise

    def run(self, command: str) -> tuple[int, str]:
        """Run a command of one or more lines; its exit code and what it wrote.

        Raises:
            DeviceError: the connection broke, or the shell has ended.
        """
        # The script is the shell's input: no command of it may read that.
        script = f"{{ {command}\n}} </dev/null\nprintf '\\n%s %d\\n' {self._marker} $?\n"
        self._session.write(script.encode("utf-8", "surrogateescape"))
        end = re.compile(rf"\n{self._marker} (\d+)\n".encode())
        while (found := end.search(self._rest)) is None:
            piece = self._session.read_some()
            if not piece or len(self._rest) > _LONGEST_ANSWER:
                said = self._rest.decode(errors="replace")
                raise DeviceError("the device's shell ended before its command", device=self._device, stderr=said)
            self._rest += piece
        answer, self._rest = self._rest[: found.start()], self._rest[found.end() :]
        return int(found[1]), answer.decode("utf-8", "surrogateescape")

    def check(self, command: str) -> str:
        """Run a command that must succeed; what it wrote.

        Raises:
            DeviceError: it did not; carries its words.
        """
        code, said = self.run(command)
        if code:
            raise DeviceError("a command failed", device=self._device, exit_status=code, stderr=said)
        return said

    def close(self) -> None:
        """End the shell; returns when its last command has run, or the connection is gone."""
        with contextlib.suppress(DeviceError):
            self._session.write(b"regular=yes; exit\n")
            while self._session.read_some():
                pass
        self._session.close()

    def abandon(self) -> None:
        """Go as if we had vanished: the device runs the last command by itself."""
        self._session.close()

    def __enter__(self) -> CleanupShell:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
