"""Energy that a phone took from its battery between two moments, where the phone tells.

What the battery gave, it gave to all of the phone: screen, radio and whatever else ran. For what a run cost, measure as
long a time of doing nothing too and subtract. A phone on a USB cable is powered by the cable, and nothing can be told:
take the road over Wi-Fi (`tcp:HOST:PORT`). `dumpsys battery unplug` changes what the phone says, not what it does.

A fuel gauge counts in steps, and Android's battery service repeats what it heard last, up to minutes ago: a run that
shall be measured takes some ten minutes. See `resolution_joules`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from math import gcd

from edge.adb.client import Adb
from edge.devices.battery import POWER_SUPPLIES, feeds_device, question, said_by_kernel, said_by_service
from edge.devices.information import device_kind

# `dumpsys` itself gives a service ten.
_PATIENCE_SECONDS = 15.0

_SERVICE = "battery service"
_STATUS_CHARGING = "2"

_SUPPLY_FILES = "type scope present status online voltage_now energy_now charge_now charge_counter"

# A cell has 2.5 V or more, a tablet's battery three cells in a row at most. The smallest watch has 0.1 Ah. What is
# outside is told in other units than it should be, as some phones do.
_VOLTAGES_MV = (2_000, 20_000)
_CAPACITIES_UAH = (100_000, 50_000_000)

_JOULES_PER_MICROWATT_HOUR = 3.6e-3
_COULOMBS_PER_MICROAMPERE_HOUR = 3.6e-3


@dataclass(frozen=True)
class Reading:
    """What a battery said at one moment.

    Attributes:
        source: who said it: Android's battery service, or the kernel's name for the battery.
        external_power: whether anything but the battery feeds the phone.
        voltage_mv: millivolts.
        charge_uah: charge left, microampere-hours; None where it tells energy.
        energy_uwh: energy left, microwatt-hours; None where it tells charge.
    """

    source: str
    external_power: bool
    voltage_mv: float
    charge_uah: int | None = None
    energy_uwh: int | None = None

    @property
    def count(self) -> int:
        """What counts down: energy where it is told, else charge."""
        return self.energy_uwh if self.energy_uwh is not None else self.charge_uah or 0


class EnergyMeter:
    """Reads a device's battery.

    Only a physical device has one: an emulated phone's is invented, and the embedded device's would be the computer's.

    Args:
        adb: the device.
        power_supplies: where its kernel tells of batteries.
    """

    def __init__(self, adb: Adb, *, power_supplies: str = POWER_SUPPLIES) -> None:
        self._adb = adb
        self._question = question(power_supplies, _SUPPLY_FILES)

    def read(self) -> Reading | None:
        """Ask once; None where there is no battery, or none that tells what can be understood.

        The kernel's word is taken before the service's: it is of now. Most phones keep it from adb's shell.

        Raises:
            DeviceError: the device does not answer.
        """
        if not self._has_battery:
            return None
        said = self._adb.shell(self._question, _PATIENCE_SECONDS).stdout.decode(errors="replace").replace("\r\n", "\n")
        return parse_power_supplies(said) or parse_battery_service(said)

    @cached_property
    def _has_battery(self) -> bool:
        return device_kind(self._adb.properties(), self._adb.serial) == "physical"


def parse_battery_service(text: str) -> Reading | None:
    """Read what `dumpsys battery` prints (AOSP, BatteryService.dumpInternal); None where it tells no charge.

    Nor is one taken that somebody set by hand (`dumpsys battery set`), or whose units cannot be right: the charge must
    fit the level, which is in percent.
    """
    said = said_by_service(text)
    charge, voltage, level = (_number(said.get(name)) for name in ("Charge counter", "voltage", "level"))
    if charge is None or voltage is None or level is None or said.get("present") == "false":
        return None
    if not _within(voltage, _VOLTAGES_MV) or not _within(charge * 100 / max(level, 1), _CAPACITIES_UAH):
        return None
    powered = any(name.endswith(" powered") and value == "true" for name, value in said.items())
    return Reading(_SERVICE, powered or said.get("status") == _STATUS_CHARGING, float(voltage), charge_uah=charge)


def parse_power_supplies(text: str) -> Reading | None:
    """Read lines `power_supply/NAME/FILE=VALUE` (Linux, Documentation/ABI/testing/sysfs-class-power).

    The first battery that feeds the device and tells voltage and energy or charge; None where there is none.
    """
    supplies = said_by_kernel(text)
    fed = any(said.get("type") != "Battery" and said.get("online", "0") != "0" for said in supplies.values())
    for name, said in supplies.items():
        if feeds_device(said):
            found = _of_battery(name, said, fed or said.get("status") != "Discharging")
            if found is not None:
                return found
    return None


def _of_battery(name: str, said: Mapping[str, str], external_power: bool) -> Reading | None:
    voltage, energy = _number(said.get("voltage_now")), _number(said.get("energy_now"))
    charge = _number(said.get("charge_now"))
    if charge is None:
        charge = _number(said.get("charge_counter"))
    if voltage is None or not _within(voltage / 1000, _VOLTAGES_MV) or (energy is None and charge is None):
        return None
    return Reading(name, external_power, voltage / 1000, charge if energy is None else None, energy)


def energy_joules(before: Reading | None, after: Reading | None) -> float | None:
    """Joules that the battery gave between two readings: the charge's fall times the mean of both voltages, or the
    energy's own fall.

    None where that cannot be told: no reading, external power at either end, readings of two sources, or a counter
    that did not fall: then it was less than a step, or the gauge corrected itself.
    """
    if before is None or after is None or before.external_power or after.external_power:
        return None
    if before.source != after.source or (before.energy_uwh is None) != (after.energy_uwh is None):
        return None
    fall = before.count - after.count
    return _joules(fall, before, after) if fall > 0 else None


def resolution_joules(before: Reading, after: Reading) -> float | None:
    """The counter's step as these readings show it: `energy_joules` may be wrong by one at either end.

    The largest number that divides both: 1,000 where a gauge counts whole milliampere-hours (14 J at 3.85 V), a
    hundredth of the battery where a phone works its charge out of the level. None while the counter has not moved.
    """
    if before.count == after.count:
        return None
    return _joules(gcd(before.count, after.count), before, after)


def _joules(count: int, before: Reading, after: Reading) -> float:
    if before.energy_uwh is not None:
        return count * _JOULES_PER_MICROWATT_HOUR
    volts = (before.voltage_mv + after.voltage_mv) / 2 / 1000
    return count * _COULOMBS_PER_MICROAMPERE_HOUR * volts


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and re.fullmatch(r"-?[0-9]{1,18}", text) else None


def _within(value: float, bounds: tuple[int, int]) -> bool:
    return bounds[0] <= value <= bounds[1]
