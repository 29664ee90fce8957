"""What edgecat asks of a device, whatever the road to it."""

from __future__ import annotations

import posixpath
import re
import shlex
import time
from pathlib import Path

from edge.adb.shell import ShellResult, ShellSession, run
from edge.adb.staging import Staging, explaining, not_whole, sheltered
from edge.adb.stream import Connection, Stream
from edge.adb.sync import Sync
from edge.adb.sync_records import FileStat
from foundation.errors import DeviceError
from foundation.progress import SILENT, Progress

_PROPERTY = re.compile(r"^\[(.*?)\]: \[(.*)\]$", re.MULTILINE)


class Adb:
    """A device over an open connection; closes the connection when it is closed itself.

    May be used from many threads: every call opens a stream of its own.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    @property
    def serial(self) -> str:
        """See `Connection.serial`."""
        return self.connection.serial

    def shell(self, command: str, timeout: float | None = None, stdin: bytes = b"") -> ShellResult:
        """Run a command to its end; see `edge.adb.shell.run`. An exit code other than 0 is no error here."""
        return run(self.connection, command, timeout, stdin)

    def check_shell(self, command: str, timeout: float | None = None) -> bytes:
        """Run a command that must succeed; its standard output.

        Raises:
            DeviceError: its exit code is not 0; carries it and standard error.
        """
        result = self.shell(command, timeout)
        if result.exit_code:
            words = (result.stdout if result.merged else result.stderr).decode(errors="replace")
            raise DeviceError(f"{command!r} failed", device=self.serial, exit_status=result.exit_code, stderr=words)
        return result.stdout

    def start(self, command: str) -> ShellSession:
        """Start a command and talk to it."""
        return ShellSession(self.connection, command)

    def open(self, service: str) -> Stream:
        """Open a service by its name; see `Connection.open`."""
        return self.connection.open(service)

    def push(self, local: Path | bytes, remote: str, mode: int = 0o644, progress: Progress = SILENT) -> None:
        """Write a file on the device; see `Sync.push`."""
        with Sync(self.connection) as sync:
            sync.push(local, remote, mode, progress)

    def pull(self, remote: str, local: Path, progress: Progress = SILENT) -> None:
        """Read a file from the device; see `Sync.pull`."""
        with Sync(self.connection) as sync:
            sync.pull(remote, local, progress)

    def stat(self, path: str) -> FileStat | None:
        """What the device tells of a file; None where there is none."""
        with Sync(self.connection) as sync:
            return sync.stat(path)

    def list(self, path: str) -> dict[str, FileStat]:
        """The entries of a directory on the device, by name."""
        with Sync(self.connection) as sync:
            return sync.list(path)

    def remove(self, path: str) -> None:
        """Remove a file or a directory with everything in it; that there is none is no error.

        Raises:
            DeviceError: it cannot be removed.
        """
        self.check_shell(f"rm -rf -- {shlex.quote(path)}")

    def properties(self) -> dict[str, str]:
        """Everything `getprop` says; empty where the device has no such command."""
        result = self.shell("getprop")
        return dict(_PROPERTY.findall(result.stdout.decode("utf-8", "replace").replace("\r\n", "\n")))

    def sha256(self, path: str) -> str | None:
        """SHA-256 of a file on the device, worked out there: 64 hexadecimal digits, None where there is no such file.

        Raises:
            DeviceError: the device cannot read the file or has no `sha256sum`.
        """
        found = self.stat(path)
        if found is None or found.is_directory:
            return None
        # From standard input: names with strange characters come back changed.
        digest = self.check_shell(f"sha256sum < {shlex.quote(path)}").decode(errors="replace").split(" ")[0]
        if not re.fullmatch(r"[0-9a-f]{64}", digest):
            raise DeviceError(f"sha256sum gave no digest of {path}", device=self.serial)
        return digest

    def push_verified(self, local: Path | bytes, remote: str, mode: int = 0o644, progress: Progress = SILENT) -> bool:
        """Bring a file to the device so that under its name there is never a partial or wrong one.

        Goes to a temporary name, is checked there by size and SHA-256, and only then renamed.

        Returns:
            whether bytes were sent: not if the device has the same content already (its mode is set all the same).

        Raises:
            DeviceError: it cannot be written, or what arrived is not what was sent.
            UsageError: `local` cannot be read.
        """
        size, digest = _identity(local)
        remote = sheltered(remote)
        quoted = shlex.quote(remote)
        known = self.stat(remote)
        if known is not None and known.is_directory:
            raise DeviceError(f"{remote} is a directory", device=self.serial, hint="push to another name, or remove it")
        if known is not None and known.size == size and self.sha256(remote) == digest:
            self.check_shell(f"chmod {mode & 0o777:o} {quoted}")
            return False
        folder, name = posixpath.split(remote)
        with Staging(self, folder, size) as staging, explaining(self, folder, size):
            temporary = posixpath.join(staging.path, name)
            self.push(local, temporary, mode, progress)
            arrived = shlex.quote(temporary)
            if staging.shell.check(f"sha256sum < {arrived}").split(" ")[0] != digest:
                raise not_whole(self, remote)
            # adb's daemon gives everybody the owner's rights.
            staging.shell.check(f"chmod {mode & 0o777:o} {arrived} && mv -f {arrived} {quoted}")
        return True

    def wait(self, timeout: float = 120.0) -> None:
        """Wait until the device has started; see `edge.adb.starting`."""
        from edge.adb.starting import wait_until_started

        wait_until_started(self, time.monotonic() + timeout)

    def reboot(self) -> None:
        """Start the device anew. The connection ends; `edge.adb.starting.connect_when_started` makes the next.

        Raises:
            DeviceError: the device refuses; emulated ones do.
        """
        stream = self.open("reboot:")
        try:
            stream.receive_some()
        finally:
            stream.close()

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()

    def __enter__(self) -> Adb:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _identity(local: Path | bytes) -> tuple[int, str]:
    """Size in bytes and SHA-256."""
    from foundation.errors import UsageError
    from foundation.files import sha256_bytes, sha256_file

    if isinstance(local, bytes):
        return len(local), sha256_bytes(local)
    try:
        return local.stat().st_size, sha256_file(local)
    except OSError as error:
        raise UsageError(f"cannot read {local}: {error.strerror}") from error
