"""From a device spec to an open device."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path

from edge.adb.client import Adb
from edge.adb.connection import DirectConnection
from edge.adb.keys import HostKey
from edge.adb.lease import Lease
from edge.adb.server import ServerConnection, list_server_devices
from edge.adb.usb import open_usb
from edge.devices import emulators, isolated
from edge.devices.embedded.launch import EmbeddedDevice
from edge.devices.emulator_records import EmulatorRecord
from edge.devices.information import DeviceInfo, inspect
from edge.devices.spec import DeviceSpec, parse_spec
from edge.devices.system.launch import connect_to
from foundation.errors import DeviceError


@dataclass
class OpenDevice:
    """A device that can be used; a context manager that lets it go.

    Attributes:
        adb: to talk to it.
        info: what it is.
    """

    adb: Adb
    info: DeviceInfo
    _held: contextlib.ExitStack
    _claimed: bool = False

    @classmethod
    def over(cls, adb: Adb, spec: str) -> OpenDevice:
        """A device over a connection that stands already, and is closed with it.

        Raises:
            DeviceError: it does not answer.
        """
        with contextlib.ExitStack() as held:
            held.enter_context(adb)
            return cls(adb, inspect(adb, spec), held.pop_all())

    def claim(self) -> None:
        """Take the device for this process, until it is closed: what others do there would disturb what is measured.

        Raises:
            DeviceError: another process has it; see `edge.adb.lease`.
        """
        if not self._claimed:
            self._held.enter_context(Lease.take(self.adb, self.info.workdir))
            self._claimed = True

    def close(self) -> None:
        """Close the connection; end the device if it was made for the occasion."""
        self._held.close()

    def __enter__(self) -> OpenDevice:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_device(spec: DeviceSpec | str | None = None, key: Path | None = None) -> OpenDevice:
    """Open the device that `spec` names.

    Args:
        spec: see `edge.devices.spec.parse_spec`; None takes its default.
        key: private adb key for a direct connection; None takes the emulator's own, or the host's.

    Raises:
        UsageError: a spec that is wrong, or of a kind that is not built yet; a key that cannot be read.
        AuthError: the device does not accept the key.
        DeviceError: no such device, or several and no choice.
    """
    if not isinstance(spec, DeviceSpec):
        spec = parse_spec(spec)
    with contextlib.ExitStack() as held:
        adb = held.enter_context(_connect(spec, key, held))
        info = inspect(adb, str(spec))
        return OpenDevice(adb, info, held.pop_all())


def _connect(spec: DeviceSpec, key: Path | None, held: contextlib.ExitStack) -> Adb:
    if spec.kind == "embedded":
        device = held.enter_context(EmbeddedDevice.start())
        return Adb(DirectConnection.tcp(*device.address, HostKey(device.key_path)))
    if spec.kind == "emulator":
        return Adb(_kept(emulators.find(spec.name or ""), key))
    if spec.kind in isolated.KINDS:
        made = held.enter_context(isolated.start(str(spec)))
        return Adb(DirectConnection.over(made.connect(), str(spec)))
    if spec.kind == "tcp":
        address = (spec.host or "", spec.port or 0)
        known = key or emulators.key_for(address)
        return Adb(DirectConnection.tcp(*address, HostKey(known) if known else None))
    if spec.kind == "usb":
        return Adb(DirectConnection(open_usb(spec.name or ""), HostKey(key) if key else None))
    return Adb(ServerConnection(spec.name or _only_serial()))


def _kept(record: EmulatorRecord, key: Path | None) -> DirectConnection:
    if record.socket is not None:
        return DirectConnection.over(connect_to(record.socket, record.spec), record.spec)
    if record.address is None:
        raise DeviceError(f"{record.spec} cannot be reached", hint=f"edgecat emulator stop --name {record.name}")
    known = key or record.key
    return DirectConnection.tcp(*record.address, HostKey(known) if known else None)


def _only_serial() -> str:
    devices = list_server_devices()
    choices = ", ".join(f"serial:{device.serial}" for device in devices) or "none"
    usable = [device.serial for device in devices if device.state == "device"]
    if len(usable) == 1:
        return usable[0]
    if usable:
        raise DeviceError(f"{len(usable)} devices and no choice", hint=f"name one of: {choices}")
    raise DeviceError(
        f"the adb server has no device that can be used (it lists: {choices})",
        hint="connect a phone, then: edgecat devices --scan; or use --device embedded",
    )
