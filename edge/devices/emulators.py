"""Emulated devices that are kept running: started once, found again by name."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from edge.adb.keys import make_key
from edge.devices import emulator_records as records
from edge.devices import isolated
from edge.devices.embedded.launch import START_SECONDS, public_key, spawn, wait_for_start
from edge.devices.emulator_records import EmulatorRecord
from edge.devices.isolated import StartOptions
from foundation.errors import DeviceError, UsageError

_STOP_SECONDS = 5.0


def start(name: str | None = None, device: str = "embedded", options: StartOptions | None = None) -> EmulatorRecord:
    """Start a device that outlives this process; where one of that name and kind runs, that one.

    Args:
        name: to find it again by; None takes the device's own, as in `sandbox-x86_64`.
        device: `embedded`, `sandbox:ABI` or `vm:ABI`.
        options: see there; they say nothing to one that runs already.

    Raises:
        UsageError: no good name, no such device, options that it does not have, or another kind runs by that name.
        DeviceError: it did not start.
    """
    name = records.checked(device.replace(":", "-") if name is None else name)
    if device != "embedded":
        isolated.split(device)
    with records.locked():
        running = _running(name)
        if running is None:
            return _launch(name, device, options or StartOptions())
        if running.device != device:
            raise UsageError(f"{running.spec} runs already: {running.device}", hint="choose another --name")
        return running


def stop(name: str = "embedded") -> bool:
    """End an emulator and remove its directory; whether one ran.

    Raises:
        UsageError: no good name.
        DeviceError: it cannot be ended.
    """
    records.checked(name)
    with records.locked():
        record = records.read(name)
        if record is None:
            return False
        ran = record.lives()
        if ran:
            _terminate(record)
        records.forget(record)
        return ran


def list_running() -> list[EmulatorRecord]:
    """The emulators that run, by name; what is left of dead ones is removed."""
    with records.locked():
        return [record for name in records.names() if (record := _running(name)) is not None]


def find(name: str) -> EmulatorRecord:
    """The running emulator of that name.

    Raises:
        DeviceError: none runs.
    """
    known = {record.name: record for record in list_running()}
    if name not in known:
        choices = ", ".join(record.spec for record in known.values()) or "none"
        device = next((spec for spec in isolated.SPECS if spec.replace(":", "-") == name), None)
        raise DeviceError(
            f"no emulator {name!r} runs (running: {choices})",
            hint=f"edgecat emulator start {device or f'--name {name}'}",
        )
    return known[name]


def key_for(address: tuple[str, int]) -> Path | None:
    """The key of the running emulator at `address`, None where none is there or it asks for none."""
    host, port = address
    if host not in ("127.0.0.1", "localhost"):
        return None
    return next((record.key for record in list_running() if record.address and record.address[1] == port), None)


def _launch(name: str, device: str, options: StartOptions) -> EmulatorRecord:
    if device == "embedded":
        return _launch_embedded(name, options)
    started = isolated.start(device, options, detached=True)
    record = EmulatorRecord(
        name, device, started.pid, started.serial, started.directory, started.address, socket=started.socket_path
    )
    try:
        records.write(record)
    except BaseException:
        started.stop()
        raise
    started.detach()
    return record


def _launch_embedded(name: str, options: StartOptions) -> EmulatorRecord:
    if options != replace(StartOptions(), port=options.port):
        raise UsageError("the embedded device has the disk and the memory of this machine", hint="use sandbox or vm")
    directory = Path(tempfile.mkdtemp(prefix="edgecat-emulator-"))
    serial = f"embedded-{os.urandom(6).hex()}"
    try:
        key = make_key(directory / "adbkey").path
        log = directory / "device.log"
        public = public_key(key, directory)
        process = spawn(directory / "root", public, log, port=options.port or 0, serial=serial, detached=True)
        try:
            started = wait_for_start(process, log, START_SECONDS)
            address = ("127.0.0.1", started.port)
            record = EmulatorRecord(
                name, "embedded", process.pid, serial, directory, address, key=key, root=Path(started.root)
            )
            records.write(record)
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
    record = records.read(name)
    if record is None or record.lives():
        return record
    records.forget(record)
    return None


def _terminate(record: EmulatorRecord) -> None:
    deadline = time.monotonic() + _STOP_SECONDS
    _signal(record.pid, signal.SIGTERM)
    while record.lives():
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
