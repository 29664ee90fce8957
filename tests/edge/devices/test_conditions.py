"""What a device tells of its state, and waiting for a cool one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from edge.devices.conditions import ConditionsReader, Snapshot, parse_snapshot, wait_until_cool
from edge.devices.opening import OpenDevice

PHONE = """\
load=3.27 3.31 2.45 3/146 25307
cpu0/scaling_governor=schedutil
cpu0/scaling_cur_freq=1804800
cpu0/scaling_max_freq=1804800
cpu7/scaling_governor=performance
cpu7/scaling_cur_freq=2841600
cpu7/scaling_max_freq=2419200
Current Battery Service state:
  AC powered: false
  USB powered: true
  Wireless powered: false
  status: 2
  present: true
  level: 85
  scale: 100
  voltage: 4012
  temperature: 331
  technology: Li-ion
  batteryMiscEvent: 0
  temperature: 99
IsStatusOverride: false
ThermalEventListeners:
  temperature: 12
Thermal Status: 2
Cached temperatures:
	Temperature{mValue=33.1, mType=2, mName=battery, mStatus=0}
"""


def test_a_phone_tells_all_of_it() -> None:
    assert parse_snapshot(PHONE) == Snapshot(
        battery_c=33.1,
        plugged=True,
        thermal_status=2,
        governors={0: "schedutil", 7: "performance"},
        frequencies_khz={0: 1_804_800, 7: 2_841_600},
        limits_khz={0: 1_804_800, 7: 2_419_200},
        load_average=3.27,
    )


@pytest.mark.parametrize(
    ("said", "instead", "changed"),
    [
        ("  temperature: 331", "  temperature: 33100", {"battery_c": None}),
        ("  temperature: 331", "  temperature: -127", {"battery_c": -12.7}),
        ("  temperature: 331", "  temperature: warm", {"battery_c": None}),
        ("Service state:", "Service state:\n  (UPDATES STOPPED -- use 'reset')", {"battery_c": None, "plugged": None}),
        ("IsStatusOverride: false", "IsStatusOverride: true", {"thermal_status": None}),
        ("Thermal Status: 2", "Thermal Status: 9", {"thermal_status": None}),
        ("load=3.27", "load=", {"load_average": None}),
        ("cpu7/scaling_cur_freq=2841600", "cpu7/scaling_cur_freq=<unsupported>", {"frequencies_khz": {0: 1_804_800}}),
    ],
)
def test_what_is_made_up_or_cannot_be_is_not_believed(said: str, instead: str, changed: dict[str, object]) -> None:
    expected = replace(parse_snapshot(PHONE), **changed)  # type: ignore[arg-type]
    assert parse_snapshot(PHONE.replace(said, instead)) == expected


def test_who_says_nothing_is_believed_nothing() -> None:
    assert parse_snapshot("load=\n") == Snapshot()


def test_the_kernel_s_word_on_heat_counts_where_the_service_is_silent() -> None:
    supplies = "power_supply/{0}/type=Battery\npower_supply/{0}/temp={1}\n"
    pen = supplies.format("pen", 200) + "power_supply/pen/scope=Device\n"
    assert parse_snapshot(pen).battery_c is None
    assert parse_snapshot(pen + supplies.format("battery", 305)).battery_c == 30.5


@pytest.fixture
def kernel(tmp_path: Path) -> Path:
    """sysfs of a small phone."""
    for core, khz in ((0, 1_000), (4, 2_000)):
        folder = tmp_path / f"cpu{core}" / "cpufreq"
        folder.mkdir(parents=True)
        (folder / "scaling_governor").write_text("schedutil\n")
        (folder / "scaling_cur_freq").write_text(f"{khz}\n")
    (tmp_path / "cpuidle").mkdir()
    (tmp_path / "loadavg").write_text("0.50 0.40 0.30 1/100 999\n")
    return tmp_path


@pytest.mark.device
def test_a_device_s_files_are_read_over_adb(phone: OpenDevice, kernel: Path) -> None:
    reader = ConditionsReader(phone.adb, cpus=str(kernel), load=str(kernel / "loadavg"))
    assert reader.read() == Snapshot(
        governors={0: "schedutil", 4: "schedutil"}, frequencies_khz={0: 1_000, 4: 2_000}, load_average=0.5
    )


@pytest.mark.device
def test_a_device_without_these_files_tells_nothing(phone: OpenDevice, tmp_path: Path) -> None:
    nowhere = str(tmp_path / "no such 'place")
    reader = ConditionsReader(phone.adb, physical=True, cpus=nowhere, load=nowhere, power_supplies=nowhere)
    assert reader.read() == Snapshot()


class Cooling:
    """A battery that cools with every look, and a clock that sleeping moves."""

    def __init__(self, *degrees: float | None) -> None:
        self.degrees: Iterator[float | None] = iter(degrees)
        self.time = 0.0

    def read(self) -> Snapshot:
        return Snapshot(battery_c=next(self.degrees))

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += seconds


def waited(cooling: Cooling, seconds: float = 60) -> object:
    found = wait_until_cool(cooling, 35, seconds, now=cooling.now, sleep=cooling.sleep)  # type: ignore[arg-type]
    return None if found is None else (found.waited_seconds, found.timed_out)


def test_the_gate_opens_when_the_battery_is_cool() -> None:
    assert waited(Cooling(36, 35.5, 35)) == (10, False)
    assert waited(Cooling(20)) == (0, False)


def test_the_gate_does_not_wait_for_ever_and_says_so() -> None:
    assert waited(Cooling(*[40] * 9), seconds=12) == (12, True)
    assert waited(Cooling(40), seconds=0) == (0, True)


def test_without_a_temperature_there_is_no_gate() -> None:
    assert waited(Cooling(None)) is None


@pytest.mark.device
def test_a_reader_asks_no_emulated_device_about_heat(phone: OpenDevice) -> None:
    assert not ConditionsReader(phone.adb).physical
