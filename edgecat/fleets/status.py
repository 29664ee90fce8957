"""What each device of a fleet has."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Literal

from pydantic import BaseModel, ConfigDict

from edge.devices.opening import open_device
from edge.devices.spec import parse_spec
from edgecat.fleets.fleet_file import Fleet
from edgecat.fleets.pointer import ActiveModel, read_active
from foundation.errors import CheckFailed, DeviceError, EdgecatError
from foundation.progress import SILENT, Progress


class DeviceStatus(BaseModel):
    """What one device has.

    Attributes:
        device: its spec, without a phone's serial number.
        state: `active`; `none` (nothing was deployed), `damaged` (the file is not the one that was deployed), `failed`
            (it does not answer).
        model: its maker's name for the device; None: it did not answer.
        abi: its instruction set.
        os_version: Android's.
        active: what it uses.
        error: what went wrong.
    """

    model_config = ConfigDict(frozen=True)

    device: str
    state: Literal["active", "none", "damaged", "failed"]
    model: str | None = None
    abi: str | None = None
    os_version: str | None = None
    active: ActiveModel | None = None
    error: str | None = None


class FleetStatus(BaseModel):
    """What a fleet has; devices in the order of its file."""

    model_config = ConfigDict(frozen=True)

    devices: list[DeviceStatus]

    def complete_or_fail(self) -> None:
        """Nothing, if every device answers and no file is damaged.

        Raises:
            DeviceError: one does not answer.
            CheckFailed: a file is not the one that was deployed.
        """
        for one in self.devices:
            if one.state == "failed":
                raise DeviceError(f"no word of {one.device}: {one.error}")
        for one in self.devices:
            if one.state == "damaged":
                raise CheckFailed(f"{one.device}: {one.error}", hint="deploy again")


def look(fleet: Fleet, progress: Progress = SILENT) -> FleetStatus:
    """Ask every device; its files are hashed there. Takes no device from others and changes nothing."""
    with (
        progress.task("asking devices", len(fleet.devices)) as advance,
        ThreadPoolExecutor(min(fleet.at_once, len(fleet.devices)), thread_name_prefix="edgecat-fleet") as pool,
    ):
        found = []
        for status in pool.map(_status, fleet.devices):
            found.append(status)
            advance(1, status.device)
    return FleetStatus(devices=found)


def _status(spec: str) -> DeviceStatus:
    name = parse_spec(spec).anonymous
    try:
        with open_device(spec) as device:
            active = read_active(device)
            whole = active is None or device.adb.sha256(active.path) == active.sha256
            info = device.info
    except EdgecatError as error:
        return DeviceStatus(device=name, state="failed", error=error.message)
    return DeviceStatus(
        device=name,
        state="none" if active is None else "active" if whole else "damaged",
        model=info.model,
        abi=info.abi,
        os_version=info.os_version,
        active=active,
        error=None if whole else "the file there is not the one that was deployed",
    )
