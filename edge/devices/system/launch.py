"""The parent's side of a device in namespaces: starts its process, connects to it, ends it."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from edge.devices.system.handover import connect
from edge.devices.system.keeper import SOCKET_NAME
from foundation.errors import DeviceError

_STOP_SECONDS = 5.0
_SOURCE = Path(__file__).resolve().parents[3]


@dataclass(frozen=True)
class Launch:
    """How a kind of device is started.

    Attributes:
        kind: `sandbox` or `vm`.
        abi: of its programs.
        arguments: of its module, beside those that all kinds have.
        timeout: seconds that the start may take.
    """

    kind: str
    abi: str
    arguments: Sequence[str]
    timeout: float


@dataclass
class IsolatedDevice:
    """A running device in namespaces of its own; a context manager that ends it.

    Attributes:
        kind: `sandbox` or `vm`.
        abi: of its programs.
        serial: stands on its process's command line.
        directory: holds its socket and its log; nobody else may enter it (mode 0700).
        address: where other programs reach its adb without a key, if that was asked for.
        device_pid: the first process of its namespaces, as seen from here.
    """

    kind: str
    abi: str
    serial: str
    directory: Path
    address: tuple[str, int] | None
    device_pid: int
    _process: subprocess.Popen[bytes]

    @property
    def pid(self) -> int:
        """The process that keeps it."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether that lives."""
        return self._process.poll() is None

    @property
    def socket_path(self) -> Path:
        """Where connections to its adbd are handed out."""
        return self.directory / SOCKET_NAME

    @property
    def log(self) -> Path:
        """What it said on standard error."""
        return self.directory / "device.log"

    def connect(self) -> socket.socket:
        """A fresh connection to its adbd, with nobody in between.

        Raises:
            DeviceError: it is gone, or its adbd is.
        """
        return connect_to(self.socket_path, f"{self.kind}:{self.abi}")

    def kill_adbd(self) -> None:
        """Kill a sandbox's adbd as a fault would; the device starts it again. That of a machine is out of reach."""
        for child in _children(self.device_pid):
            with contextlib.suppress(OSError):
                if b"/adbd" in Path(f"/proc/{child}/cmdline").read_bytes():
                    os.kill(child, signal.SIGKILL)

    def kill(self) -> None:
        """Kill the device and all that runs on it, as pulling its plug would. `stop` it all the same."""
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        """End the device and what runs on it; remove its directory. Stopping twice does no harm."""
        end(self._process)
        shutil.rmtree(self.directory, ignore_errors=True)

    def detach(self) -> None:
        """Let it live on without us; it must have been launched so."""
        if self._process.stdout is not None:
            self._process.stdout.close()
        # Popen need not warn that nobody waits for it.
        self._process.returncode = 0

    def __enter__(self) -> IsolatedDevice:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()


@dataclass(frozen=True)
class _Started:
    """The line that a started device prints."""

    device: int
    address: tuple[str, int] | None


def connect_to(path: Path, name: str) -> socket.socket:
    """A fresh connection to the adbd behind a socket file.

    Raises:
        DeviceError: nobody answers there.
    """
    try:
        return connect(path)
    except OSError as error:
        raise DeviceError(
            f"cannot connect to {name}: {error.strerror or error}", hint="is it still running?"
        ) from error


def launch(
    how: Launch, *, directory: Path | None = None, port: int | None = None, detached: bool = False
) -> IsolatedDevice:
    """Start a device and wait until its adbd answers.

    Args:
        how: see there.
        directory: its own, removed with it; None makes one.
        port: also listen on 127.0.0.1, without asking for a key; 0 takes any free port; None listens nowhere.
        detached: whether it lives on without us.

    Raises:
        DeviceError: it did not start; carries what it said.
    """
    directory = directory or Path(tempfile.mkdtemp(prefix=f"edgecat-{how.kind}-"))
    serial = f"{how.kind}-{how.abi}-{secrets.token_hex(6)}"
    arguments = ["--directory", str(directory), "--serial", serial, *how.arguments]
    arguments += [] if port is None else ["--port", str(port)]
    log = directory / "device.log"
    try:
        process = _spawn(f"edge.devices.{how.kind}", arguments, log, detached)
        try:
            said = _first_line(process, f"{how.kind}:{how.abi}", log, how.timeout)
        except BaseException:
            end(process)
            raise
    except BaseException:
        shutil.rmtree(directory, ignore_errors=True)
        raise
    return IsolatedDevice(how.kind, how.abi, serial, directory, said.address, said.device, process)


def end(process: subprocess.Popen[bytes]) -> None:
    """End a device's process, by force where it does not end by itself."""
    process.terminate()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            stream.close()


def _spawn(module: str, arguments: Sequence[str], log: Path, detached: bool) -> subprocess.Popen[bytes]:
    """In a session of its own, so that a Ctrl-C for us is none for it."""
    path = os.pathsep.join(filter(None, [str(_SOURCE), os.environ.get("PYTHONPATH")]))
    # To append: what keeps the device and the device itself write to it side by side.
    with log.open("ab") as stderr:
        return subprocess.Popen(
            [sys.executable, "-m", module, *arguments, *(["--detached"] if detached else [])],
            stdin=subprocess.DEVNULL if detached else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            env=os.environ | {"PYTHONPATH": path},
            start_new_session=True,
        )


def _first_line(process: subprocess.Popen[bytes], name: str, log: Path, timeout: float) -> _Started:
    """The line with which a device says that it can be reached."""
    assert process.stdout is not None
    deadline = time.monotonic() + timeout
    line = b""
    while not line.endswith(b"\n"):
        ready, _, _ = select.select([process.stdout], [], [], max(deadline - time.monotonic(), 0))
        piece = os.read(process.stdout.fileno(), 4096) if ready else b""
        if not piece:
            reason = "did not start" if ready else f"did not start in {timeout:g} s"
            raise DeviceError(f"{name} {reason}", stderr=_words(log))
        line += piece
    said = json.loads(line)
    return _Started(int(said["device"]), None if said["address"] is None else tuple(said["address"]))


def _words(log: Path) -> str:
    return log.read_text(errors="replace") if log.is_file() else ""


def _children(pid: int) -> list[int]:
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []
