"""A battery as phones tell of it, and when nothing can be told."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from edge.adb.client import Adb
from edge.adb.connection import DirectConnection
from edge.adb.keys import HostKey
from edge.devices.embedded.launch import EmbeddedDevice
from edge.devices.energy import (
    EnergyMeter,
    Reading,
    energy_joules,
    parse_battery_service,
    parse_power_supplies,
    resolution_joules,
)

# As AOSP's BatteryService prints it since Android 14; older ones leave lines out.
UNPLUGGED = """\
Current Battery Service state:
  AC powered: false
  USB powered: false
  Wireless powered: false
  Dock powered: false
  Max charging current: 0
  Max charging voltage: 0
  Charge counter: 3053000
  status: 3
  health: 2
  present: true
  level: 85
  scale: 100
  voltage: 4012
  temperature: 290
  technology: Li-ion
  Charging state: 0
  Charging policy: 0
"""
# A maker's own lines behind it: they repeat names in other units.
MAKERS_OWN = """\
  batteryMiscEvent: 0
  mSavedBatteryAsoc: 99
SEC_FEATURE_BATTERY: true
  voltage: 4
  Charge counter: 9
"""
SUPPLIES = """\
power_supply/battery/type=Battery
power_supply/battery/present=1
power_supply/battery/status=Discharging
power_supply/battery/voltage_now=3912345
power_supply/battery/charge_counter=2911000
power_supply/bms/type=BMS
power_supply/usb/type=USB
power_supply/usb/online=0
"""


def told(**lines: str) -> str:
    """UNPLUGGED with other values; an empty one takes its line out."""
    text = UNPLUGGED
    for name, value in lines.items():
        found = next(line for line in text.splitlines(True) if line.startswith(f"  {name.replace('_', ' ')}: "))
        text = text.replace(found, f"  {name.replace('_', ' ')}: {value}\n" if value else "")
    return text


def reading(text: str = UNPLUGGED) -> Reading:
    found = parse_battery_service(text)
    assert found is not None
    return found


def test_a_phone_on_its_battery() -> None:
    assert reading() == Reading("battery service", external_power=False, voltage_mv=4012.0, charge_uah=3_053_000)


def test_a_maker_s_own_lines_do_not_count() -> None:
    assert reading(UNPLUGGED + MAKERS_OWN) == reading()


def test_a_battery_that_is_nearly_empty_is_read_too() -> None:
    assert reading(told(level="2", Charge_counter="72000")).charge_uah == 72_000


@pytest.mark.parametrize("source", ["AC_powered", "USB_powered", "Wireless_powered", "Dock_powered"])
def test_every_cable_is_seen(source: str) -> None:
    # Also where the charger only keeps up: status 4, not charging; 5, full.
    for status in ("3", "4", "5"):
        assert reading(told(**{source: "true"}, status=status)).external_power


def test_charging_from_nowhere_counts_as_external_power() -> None:
    assert reading(told(status="2")).external_power


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Can't find service: battery\n",
        "sh: dumpsys: not found\n",
        told(Charge_counter=""),
        told(voltage=""),
        told(level=""),
        told(present="false"),
        told(Charge_counter="0"),
        told(Charge_counter="-2147483648"),
        told(Charge_counter="3053"),
        told(Charge_counter="3053000000"),
        told(voltage="4012000"),
        told(voltage="4"),
        told(voltage="0"),
        told(voltage="9" * 30),
        UNPLUGGED.replace("state:\n", "state:\n  (UPDATES STOPPED -- use 'reset' to restart)\n"),
    ],
)
def test_what_is_missing_or_cannot_be_right_gives_no_reading(text: str) -> None:
    assert parse_battery_service(text) is None


def test_the_kernel_s_battery() -> None:
    found = parse_power_supplies(SUPPLIES)
    assert found == Reading("battery", external_power=False, voltage_mv=3912.345, charge_uah=2_911_000)


def test_energy_is_taken_before_charge_and_charge_before_a_counter() -> None:
    more = SUPPLIES + "power_supply/battery/charge_now=2800000\n"
    found = parse_power_supplies(more)
    assert found is not None
    assert (found.charge_uah, found.energy_uwh) == (2_800_000, None)
    found = parse_power_supplies(more + "power_supply/battery/energy_now=11000000\n")
    assert found is not None
    assert (found.charge_uah, found.energy_uwh) == (None, 11_000_000)


@pytest.mark.parametrize(
    ("line", "other"),
    [("usb/online=0", "usb/online=1"), ("status=Discharging", "status=Full"), ("status=Discharging", "status=Unknown")],
)
def test_the_kernel_tells_of_external_power(line: str, other: str) -> None:
    found = parse_power_supplies(SUPPLIES.replace(line, other))
    assert found is not None
    assert found.external_power


@pytest.mark.parametrize(
    ("line", "other"),
    [
        ("type=Battery", "type=Mains"),
        ("present=1", "present=0"),
        ("present=1", "scope=Device"),
        ("voltage_now=3912345", "voltage_now=3912"),
        ("voltage_now=3912345", "voltage_now="),
        ("charge_counter=2911000", "charge_counter="),
    ],
)
def test_a_supply_that_does_not_feed_the_phone_or_tells_too_little_is_no_battery(line: str, other: str) -> None:
    assert parse_power_supplies(SUPPLIES.replace(line, other)) is None


def test_charge_times_voltage_worked_out_by_hand() -> None:
    after = reading(told(Charge_counter="3043000", voltage="3988"))
    # 10 mAh are 36 C, at 4.000 V on average.
    assert energy_joules(reading(), after) == pytest.approx(144.0)
    # A counter of whole milliampere-hours: 3.6 C.
    assert resolution_joules(reading(), after) == pytest.approx(14.4)


def test_energy_needs_no_voltage() -> None:
    before = Reading("BAT0", external_power=False, voltage_mv=4000.0, energy_uwh=11_000_000)
    after = replace(before, voltage_mv=3000.0, energy_uwh=10_990_000)
    assert energy_joules(before, after) == pytest.approx(36.0)


def test_what_cannot_be_told_is_none() -> None:
    before, after = reading(), reading(told(Charge_counter="3043000"))
    assert energy_joules(before, after) is not None
    assert energy_joules(None, after) is None
    assert energy_joules(before, None) is None
    for plugged in (replace(before, external_power=True), before):
        assert energy_joules(plugged, replace(after, external_power=True)) is None
    assert energy_joules(replace(before, external_power=True), after) is None
    assert energy_joules(before, replace(after, source="battery")) is None
    assert energy_joules(before, Reading("battery service", external_power=False, voltage_mv=4e3, energy_uwh=1)) is None
    assert energy_joules(after, before) is None
    assert energy_joules(before, before) is None
    assert resolution_joules(before, before) is None


@pytest.fixture(scope="module")
def posing() -> Iterator[EmbeddedDevice]:
    """An embedded device that says it is a phone."""
    with EmbeddedDevice.start() as device:
        properties = device.root / "system/build.prop"
        lines = [line for line in properties.read_text().splitlines() if not line.startswith("edgecat.kind")]
        properties.write_text("\n".join([*lines, "ro.product.manufacturer=Maker", ""]))
        yield device


def connect(device: EmbeddedDevice) -> Adb:
    return Adb(DirectConnection.tcp(*device.address, HostKey(device.key_path)))


def say(device: EmbeddedDevice, text: str) -> None:
    """What its `dumpsys battery` prints from now on."""
    (device.root / "battery.txt").write_text(text)
    command = device.root / "system/bin/dumpsys"
    command.write_text(f'#!/bin/sh\n[ "$*" = battery ] && cat {device.root}/battery.txt\n')
    command.chmod(0o755)


@pytest.mark.device
def test_a_phone_is_asked_before_and_after(posing: EmbeddedDevice, tmp_path: Path) -> None:
    with connect(posing) as adb:
        meter = EnergyMeter(adb, power_supplies=str(tmp_path / "none"))
        say(posing, UNPLUGGED)
        before = meter.read()
        say(posing, told(Charge_counter="3043000", voltage="3988"))
        assert energy_joules(before, meter.read()) == pytest.approx(144.0)
        say(posing, told(USB_powered="true", Charge_counter="3033000"))
        assert energy_joules(before, meter.read()) is None


@pytest.mark.device
def test_the_kernel_s_word_goes_before_the_service_s(posing: EmbeddedDevice, tmp_path: Path) -> None:
    supplies = tmp_path / "power supply"
    for line in SUPPLIES.splitlines():
        path, _, value = line.removeprefix("power_supply/").partition("=")
        (supplies / path).parent.mkdir(parents=True, exist_ok=True)
        (supplies / path).write_text(value + "\n")
    say(posing, UNPLUGGED)
    with connect(posing) as adb:
        meter = EnergyMeter(adb, power_supplies=str(supplies))
        assert meter.read() == parse_power_supplies(SUPPLIES)
        # As on most phones: adb's shell may not read the kernel's files.
        (supplies / "battery/voltage_now").unlink()
        assert meter.read() == parse_battery_service(UNPLUGGED)


@pytest.mark.device
def test_a_phone_without_the_service_tells_nothing(posing: EmbeddedDevice, tmp_path: Path) -> None:
    (posing.root / "system/bin/dumpsys").unlink(missing_ok=True)
    with connect(posing) as adb:
        assert EnergyMeter(adb, power_supplies=str(tmp_path)).read() is None


@pytest.mark.device
def test_the_embedded_device_has_no_battery_and_says_so_at_once(device: EmbeddedDevice, adb: Adb) -> None:
    # Not even where the computer has one, or something calls itself dumpsys.
    say(device, UNPLUGGED)
    try:
        start = time.monotonic()
        meter = EnergyMeter(adb)
        assert [meter.read() for _ in range(10)] == [None] * 10
        assert time.monotonic() - start < 2
    finally:
        (device.root / "system/bin/dumpsys").unlink()
