"""Which devices can be used from here, and what is in the way of those that cannot."""

from __future__ import annotations

from dataclasses import dataclass, replace

from edge.adb.server import ServerDevice, list_server_devices, server_runs, state_hint
from edge.adb.usb import UsbDevice, list_usb_devices
from edge.devices import emulators, isolated
from edge.devices.embedded import filesystem
from edge.devices.emulator_records import EmulatorRecord
from edge.devices.system.layout import build_properties, device_properties
from foundation.errors import DeviceError


@dataclass(frozen=True)
class ListedDevice:
    """One line of `edgecat devices`.

    Attributes:
        spec: what `--device` takes.
        kind: physical, emulated or embedded; None where the device cannot be asked.
        state: `ready` (would be started), `not built` (would be built first), `unavailable`, `running`, `usb` (seen
            there, not asked), or adb's word: device, unauthorized, offline, …
        model: the maker's name, None where unknown.
        abi: by Android's name, None where unknown.
        os_version: None where unknown.
        hint: what to do before it can be used, None where nothing.
    """

    spec: str
    kind: str | None
    state: str
    model: str | None = None
    abi: str | None = None
    os_version: str | None = None
    hint: str | None = None

    @property
    def usable(self) -> bool:
        """Whether it can be opened now."""
        return self.hint is None


def list_devices() -> list[ListedDevice]:
    """The devices made for the occasion, emulators that run, what a running adb server knows, USB. Starts nothing.

    Raises:
        DeviceError: what listens on the adb server's port is no adb server.
    """
    here = [_embedded(), *map(_made_for_the_occasion, isolated.SPECS), *_emulators()]
    known = list_server_devices()
    served = {device.serial for device in known}
    # The adb server has the phones that it lists: nobody else can open them.
    alone = [device for device in list_usb_devices() if device.serial is None or device.serial not in served]
    return [*here, *map(_of_server, known), *map(_on_usb, alone)]


def server_note() -> str | None:
    """A line to show under the list where no adb server runs, so that phones cannot be listed."""
    return None if server_runs() else "no adb server runs; to see phones too: edgecat devices --scan"


def _embedded() -> ListedDevice:
    return ListedDevice("embedded", "embedded", "ready", "edgecat embedded", filesystem.abi(), filesystem.os_version())


def _emulators() -> list[ListedDevice]:
    return [_emulator(record) for record in emulators.list_running()]


def _isolated(device: str, spec: str, state: str) -> ListedDevice:
    kind, abi = isolated.split(device)
    said = build_properties(abi) | device_properties(kind, abi)
    return ListedDevice(spec, "emulated", state, said["ro.product.model"], abi, said["ro.build.version.release"])


def _emulator(record: EmulatorRecord) -> ListedDevice:
    if record.device == "embedded":
        return replace(_embedded(), spec=record.spec, state="running")
    return _isolated(record.device, record.spec, "running")


def _made_for_the_occasion(spec: str) -> ListedDevice:
    """A sandbox or virtual machine that `--device` would start."""
    reasons = isolated.missing(spec)
    if reasons:
        return replace(_isolated(spec, spec, "unavailable"), hint="; ".join(reasons))
    return _isolated(spec, spec, "ready" if isolated.built(spec) else "not built")


def _on_usb(device: UsbDevice) -> ListedDevice:
    # Not asked for more: that would claim it, and make its screen ask for confirmation.
    return ListedDevice(
        f"usb:{device.serial or '?'}", None, "no permissions" if device.hint else "usb", hint=device.hint
    )


def _of_server(device: ServerDevice) -> ListedDevice:
    spec = f"serial:{device.serial}"
    if device.state != "device":
        return ListedDevice(spec, None, device.state, hint=state_hint(device.state))
    # Only a device that can be used is asked, and only then are the libraries for it loaded.
    from edge.adb.client import Adb
    from edge.adb.server import ServerConnection
    from edge.devices.information import device_kind

    try:
        with Adb(ServerConnection(device.serial)) as adb:
            said = adb.properties()
    except DeviceError as error:
        return ListedDevice(spec, None, "unreachable", hint=error.hint or error.message)
    return ListedDevice(
        spec,
        device_kind(said, device.serial),
        device.state,
        said.get("ro.product.model"),
        said.get("ro.product.cpu.abi"),
        said.get("ro.build.version.release"),
    )
