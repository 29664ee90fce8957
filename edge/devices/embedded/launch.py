"""Starts the embedded device as a child process and ends it again."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import select
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from edge.adb.keys import HostKey, make_key
from foundation.errors import DeviceError

START_SECONDS = 20.0
_STOP_SECONDS = 5.0
_SOURCE = Path(__file__).resolve().parents[3]


@dataclass(frozen=True)
class Started:
    """The line that a started device prints."""

    port: int
    root: str
    serial: str


@dataclass
class EmbeddedDevice:
    """A running embedded device that ends with this process.

    Attributes:
        address: host and port of its adb.
        root: its directory.
        serial: what it calls itself.
        key_path: private key that it lets in.
    """

    address: tuple[str, int]
    root: Path
    serial: str
    key_path: Path
    _process: subprocess.Popen[bytes]
    _directory: Path | None = None

    @classmethod
    def start(
        cls, root: Path | None = None, *, key: Path | None = None, port: int = 0, timeout: float = START_SECONDS
    ) -> EmbeddedDevice:
        """Start a device.

        Args:
            root: its directory; None makes a temporary one (mode 0700) that `stop` removes.
            key: the private key to let in; None makes one (mode 0600), outside the device's root.
            port: on 127.0.0.1; 0 takes any free one.
            timeout: seconds that the start may take.

        Raises:
            DeviceError: it did not start; carries what it said.
        """
        directory = Path(tempfile.mkdtemp(prefix="edgecat-device-"))
        try:
            place = root or directory / "root"
            key_path = key or make_key(directory / "adbkey").path
            log = directory / "device.log"
            public = public_key(key_path, directory)
            process = spawn(place, public, log, port=port, remove=directory, stdin=subprocess.PIPE)
            try:
                started = wait_for_start(process, log, timeout)
            except BaseException:
                _end(process)
                raise
        except BaseException:
            shutil.rmtree(directory, ignore_errors=True)
            raise
        address = ("127.0.0.1", started.port)
        return cls(address, Path(started.root), started.serial, key_path, process, directory)

    @property
    def pid(self) -> int:
        """The device's process."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the process lives."""
        return self._process.poll() is None

    def stop(self) -> None:
        """End the device and what runs on it; remove its temporary directory. Stopping twice does no harm."""
        _end(self._process)
        if self._directory is not None:
            shutil.rmtree(self._directory, ignore_errors=True)

    def __enter__(self) -> EmbeddedDevice:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()


def public_key(private: Path, directory: Path) -> Path:
    """The public half of a key as a file: the one beside it, else one made in `directory`."""
    beside = private.with_name(private.name + ".pub")
    if beside.is_file():
        return beside
    made = directory / "host.pub"
    made.write_bytes(HostKey(private).public_text())
    return made


def spawn(
    root: Path,
    public: Path,
    log: Path,
    *,
    port: int = 0,
    serial: str | None = None,
    detached: bool = False,
    remove: Path | None = None,
    stdin: int = subprocess.DEVNULL,
) -> subprocess.Popen[bytes]:
    """Start the device's process, in a session of its own so that a Ctrl-C for us is none for it.

    Args:
        root: its directory.
        public: the public key to let in.
        log: where its standard error goes.
        port: on 127.0.0.1; 0 takes any free one.
        serial: what it calls itself; None makes a name up.
        detached: whether it lives on without us.
        remove: a directory that the device removes when it ends, also if we were killed before we could.
        stdin: `subprocess.PIPE` unless detached.
    """
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    name = serial or f"embedded-{secrets.token_hex(6)}"
    command = [sys.executable, "-m", "edge.devices.embedded", "--root", str(root), "--key", str(public)]
    command += ["--port", str(port), "--serial", name] + (["--detached"] if detached else [])
    command += ["--remove", str(remove)] if remove is not None else []
    path = os.pathsep.join(filter(None, [str(_SOURCE), os.environ.get("PYTHONPATH")]))
    with log.open("wb") as stderr:
        return subprocess.Popen(
            command,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=stderr,
            env=os.environ | {"PYTHONPATH": path},
            start_new_session=True,
        )


def wait_for_start(process: subprocess.Popen[bytes], log: Path, timeout: float) -> Started:
    """Read the line with which a device says that it can be reached.

    Raises:
        DeviceError: it ended, or said nothing in time.
    """
    assert process.stdout is not None
    deadline = time.monotonic() + timeout
    line = b""
    while not line.endswith(b"\n"):
        ready, _, _ = select.select([process.stdout], [], [], max(deadline - time.monotonic(), 0))
        piece = os.read(process.stdout.fileno(), 4096) if ready else b""
        if not piece:
            reason = "did not start" if ready else f"did not start in {timeout:g} s"
            raise DeviceError(f"the embedded device {reason}", stderr=log.read_text(errors="replace"))
        line += piece
    return Started(**json.loads(line))


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.stdin is not None:
        with contextlib.suppress(OSError):
            process.stdin.close()
    else:
        process.terminate()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()
