"""Embedded devices that are kept running: started once, found again by name."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from edge.adb.keys import make_key
from edge.devices.embedded.launch import START_SECONDS, public_key, spawn, wait_for_start
from foundation.errors import DeviceError, UsageError

_STOP_SECONDS = 5.0
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True)
class EmulatorRecord:
    """A running emulator.

    Attributes:
        name: what the spec `emulator:NAME` calls it.
        pid: its process.
        address: host and port of its adb.
        key: private key that it lets in.
        root: its directory on this machine.
        serial: what it calls itself; stands on its command line, by which we know it again.
    """

    name: str
    pid: int
    address: tuple[str, int]
    key: Path
    root: Path
    serial: str

    @property
    def spec(self) -> str:
        """The device spec that opens it."""
        return f"emulator:{self.name}"


def start(name: str = "embedded") -> EmulatorRecord:
    """Start an embedded device that outlives this process; where one of that name runs, that one.

    Raises:
        UsageError: no good name.
        DeviceError: it did not start.
    """
    _checked(name)
    with _locked():
        running = _running(name)
        return running if running is not None else _launch(name)


def stop(name: str = "embedded") -> bool:
    """End an emulator and remove its directory; whether one ran.

    Raises:
        UsageError: no good name.
        DeviceError: it cannot be ended.
    """
    _checked(name)
    with _locked():
        record = _read(_state_file(name))
        if record is None:
            return False
        ran = _is_ours(record)
        if ran:
            _terminate(record)
        _forget(record)
        return ran


def list_running() -> list[EmulatorRecord]:
    """The emulators that run, by name; what is left of dead ones is removed."""
    with _locked():
        names = sorted(path.stem for path in _state_directory().glob("*.json"))
        return [record for name in names if (record := _running(name)) is not None]


def find(name: str) -> EmulatorRecord:
    """The running emulator of that name.

    Raises:
        DeviceError: none runs.
    """
    records = {record.name: record for record in list_running()}
    if name not in records:
        known = ", ".join(record.spec for record in records.values()) or "none"
        raise DeviceError(f"no emulator {name!r} runs (running: {known})", hint=f"edgecat emulator start {name}")
    return records[name]


def key_for(address: tuple[str, int]) -> Path | None:
    """The key of the running emulator at `address`, None where none is there."""
    host, port = address
    if host not in ("127.0.0.1", "localhost"):
        return None
    return next((record.key for record in list_running() if record.address[1] == port), None)


def _launch(name: str) -> EmulatorRecord:
    directory = Path(tempfile.mkdtemp(prefix="edgecat-emulator-"))
    serial = f"embedded-{secrets.token_hex(6)}"
    try:
        key = make_key(directory / "adbkey").path
        log = directory / "device.log"
        process = spawn(directory / "root", public_key(key, directory), log, serial=serial, detached=True)
        try:
            started = wait_for_start(process, log, START_SECONDS)
            address = ("127.0.0.1", started.port)
            record = EmulatorRecord(name, process.pid, address, key, Path(started.root), serial)
            _write(record)
        except BaseException:
            process.kill()
            process.wait()
            raise
    except BaseException:
        shutil.rmtree(directory, ignore_errors=True)
        raise
    if process.stdout is not None:
        process.stdout.close()
    # It is to outlive us: Popen need not warn that nobody waits for it.
    process.returncode = 0
    return record


def _running(name: str) -> EmulatorRecord | None:
    record = _read(_state_file(name))
    if record is None or _is_ours(record):
        return record
    _forget(record)
    return None


def _terminate(record: EmulatorRecord) -> None:
    deadline = time.monotonic() + _STOP_SECONDS
    _signal(record.pid, signal.SIGTERM)
    while _is_ours(record):
        if time.monotonic() > deadline:
            _signal(record.pid, signal.SIGKILL)
            deadline = float("inf")
        time.sleep(0.02)


def _signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
    except PermissionError as error:
        raise DeviceError(f"cannot end process {pid}: {error.strerror}") from error


def _is_ours(record: EmulatorRecord) -> bool:
    """Whether the process is still the one that we started: a pid alone may be anybody's by now."""
    if sys.platform == "linux":
        try:
            command = Path(f"/proc/{record.pid}/cmdline").read_bytes()
        except OSError:
            return False
    else:
        shown = subprocess.run(["ps", "-o", "command=", "-p", str(record.pid)], capture_output=True, check=False)
        command = shown.stdout
    return record.serial.encode() in command


def _forget(record: EmulatorRecord) -> None:
    _state_file(record.name).unlink(missing_ok=True)
    directory = record.key.parent
    if directory.name.startswith("edgecat-emulator-"):
        shutil.rmtree(directory, ignore_errors=True)


def _state_directory() -> Path:
    from platformdirs import user_state_path

    chosen = os.environ.get("EDGECAT_STATE_DIR")
    directory = (Path(chosen) if chosen else user_state_path("edgecat")) / "emulators"
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot make {directory}: {error.strerror}", hint="set EDGECAT_STATE_DIR") from error
    return directory


def _state_file(name: str) -> Path:
    return _state_directory() / f"{name}.json"


@contextlib.contextmanager
def _locked() -> Iterator[None]:
    """One process at a time starts, stops or cleans up."""
    with (_state_directory() / "lock").open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def _read(path: Path) -> EmulatorRecord | None:
    try:
        kept = json.loads(path.read_text())
        address = (str(kept["address"][0]), int(kept["address"][1]))
        return EmulatorRecord(
            path.stem, int(kept["pid"]), address, Path(kept["key"]), Path(kept["root"]), str(kept["serial"])
        )
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        # Torn or foreign: nothing in it can be trusted to be ours.
        path.unlink(missing_ok=True)
        return None


def _write(record: EmulatorRecord) -> None:
    from foundation.files import write_bytes

    kept = asdict(record) | {"key": str(record.key), "root": str(record.root)}
    write_bytes(_state_file(record.name), json.dumps(kept, indent=2).encode(), mode=0o600)


def _checked(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise UsageError(f"{name!r} is no name for an emulator", hint="use letters, digits, . _ -")
