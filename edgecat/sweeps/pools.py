"""Devices of a sweep: one, or several of which any can do."""

from __future__ import annotations

import re
from dataclasses import dataclass

from edge.devices.spec import DeviceSpec, parse_spec
from foundation.errors import UsageError

# Made when they are opened, so that there can be any number of them. The others are there once.
_MADE = ("embedded", "sandbox", "vm")
_MOST = 1000


@dataclass(frozen=True)
class Device:
    """One device of a sweep, on which one job at a time runs.

    Attributes:
        name: tells it from the others, as in `embedded#2`.
        spec: what opens it.
    """

    name: str
    spec: str

    @property
    def resource(self) -> str:
        """What a Ray cluster calls it: a resource of which it has one."""
        return f"device:{self.name}"

    @property
    def made(self) -> bool:
        """Whether it is made when it is opened, wherever that happens."""
        return parse_spec(self.spec).kind in _MADE

    @property
    def anonymous(self) -> str:
        """Its name for records that others read."""
        return self.name if self.made else parse_spec(self.spec).anonymous


@dataclass(frozen=True)
class DevicePool:
    """Devices that stand for each other.

    Attributes:
        meaning: the same for pools on which a job means the same.
        devices: any of them can do a job.
    """

    meaning: str
    devices: tuple[Device, ...]

    @property
    def spec(self) -> str:
        """What opens the first of them."""
        return self.devices[0].spec


def parse_pool(words: str | list[str]) -> DevicePool:
    """Read one entry of the axis `devices`.

    Args:
        words: a device spec; `SPEC*N` for N of a kind that is made when it is opened; or a list of specs of devices
            that are alike.

    Raises:
        UsageError: none of these.
    """
    if isinstance(words, list):
        if not words:
            raise UsageError("a pool of no devices", hint='name some, as in devices = [["serial:A", "serial:B"]]')
        found = [device for word in words for device in parse_pool(word).devices]
        devices = tuple(dict.fromkeys(found))
        return DevicePool("|".join(sorted({device.spec for device in devices})), devices)
    matched = re.fullmatch(r"(.+?)\*([0-9]{1,4})", words)
    spec, count = (matched[1], int(matched[2])) if matched else (words, 1)
    parsed = parse_spec(spec)
    if not 1 <= count <= _MOST:
        raise UsageError(f"{words!r}: {count} devices", hint=f"1 to {_MOST}")
    if parsed.kind in _MADE:
        return DevicePool(str(parsed), tuple(Device(f"{parsed}#{number + 1}", str(parsed)) for number in range(count)))
    if count > 1:
        raise UsageError(f"there is one {spec}, not {count}", hint="list the devices that are alike, each by its spec")
    return DevicePool(str(parsed), (_single(parsed),))


def _single(spec: DeviceSpec) -> Device:
    return Device(str(spec), str(spec))
