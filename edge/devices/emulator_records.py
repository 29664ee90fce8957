"""What is known of the emulators that are kept running: one small file for each, and how a process is known again."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from foundation.errors import UsageError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_PREFIX = "edgecat-"


@dataclass(frozen=True)
class EmulatorRecord:
    """A running emulator.

    Attributes:
        name: what the spec `emulator:NAME` calls it.
        device: what it is: `embedded`, `sandbox:ABI` or `vm:ABI`.
        pid: its process.
        serial: stands on its command line, by which we know it again.
        directory: its temporary directory, removed with it.
        address: host and port of its adb; None where it listens on none.
        key: private key that it lets in; None where it asks for none.
        root: the embedded device's directory on this machine; None for the others, who have a file system of their own.
        socket: where connections to its adb are handed out; None for the embedded device.
    """

    name: str
    device: str
    pid: int
    serial: str
    directory: Path
    address: tuple[str, int] | None = None
    key: Path | None = None
    root: Path | None = None
    socket: Path | None = None

    @property
    def spec(self) -> str:
        """The device spec that opens it."""
        return f"emulator:{self.name}"

    def lives(self) -> bool:
        """Whether the process is still the one that was started: a pid alone may be anybody's by now."""
        if sys.platform == "linux":
            try:
                command = Path(f"/proc/{self.pid}/cmdline").read_bytes()
            except OSError:
                return False
        else:
            shown = subprocess.run(["ps", "-o", "command=", "-p", str(self.pid)], capture_output=True, check=False)
            command = shown.stdout
        return self.serial.encode() in command

    def document(self) -> dict[str, Any]:
        """As JSON has it."""
        kept = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: str(value) if isinstance(value, Path) else value for name, value in kept.items()}


def state_directory() -> Path:
    """Where the records are; EDGECAT_STATE_DIR moves it.

    Raises:
        UsageError: it cannot be made.
    """
    from platformdirs import user_state_path

    chosen = os.environ.get("EDGECAT_STATE_DIR")
    directory = (Path(chosen) if chosen else user_state_path("edgecat")) / "emulators"
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot make {directory}: {error.strerror}", hint="set EDGECAT_STATE_DIR") from error
    return directory


@contextlib.contextmanager
def locked() -> Iterator[None]:
    """One process at a time starts, stops or cleans up."""
    with (state_directory() / "lock").open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def names() -> list[str]:
    """Of every record, in order."""
    return sorted(path.stem for path in state_directory().glob("*.json"))


def read(name: str) -> EmulatorRecord | None:
    """The record of that name; None where there is none. A torn one is removed."""
    path = _file(name)
    try:
        kept = json.loads(path.read_text())
        address = kept["address"]
        places = {key: None if kept[key] is None else Path(kept[key]) for key in ("key", "root", "socket")}
        return EmulatorRecord(
            name=path.stem,
            device=str(kept["device"]),
            pid=int(kept["pid"]),
            serial=str(kept["serial"]),
            directory=Path(kept["directory"]),
            address=None if address is None else (str(address[0]), int(address[1])),
            **places,
        )
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        # Torn or foreign: nothing in it can be trusted to be ours.
        path.unlink(missing_ok=True)
        return None


def write(record: EmulatorRecord) -> None:
    """Keep a record, readable by its owner only."""
    # Here: it loads numpy, which listing devices need not wait for.
    from foundation.files import write_bytes

    write_bytes(_file(record.name), json.dumps(record.document(), indent=2).encode(), mode=0o600)


def forget(record: EmulatorRecord) -> None:
    """Remove a record and what its emulator left in the file system."""
    _file(record.name).unlink(missing_ok=True)
    if record.directory.name.startswith(_PREFIX):
        shutil.rmtree(record.directory, ignore_errors=True)


def checked(name: str) -> str:
    """The name, if it is good for one.

    Raises:
        UsageError: it is not.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(f"{name!r} is no name for an emulator", hint="use letters, digits, . _ -")
    return name


def _file(name: str) -> Path:
    return state_directory() / f"{name}.json"
