"""The state of a device around a measurement: heat, clocks, load, power. What it cannot tell is None, never guessed.

Battery and thermal status are asked of physical devices alone: an emulated phone invents them, and the embedded
device's would be the computer's. Clocks and load are of the processors that really compute.
"""

from __future__ import annotations

import re
import shlex
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from edge.adb.client import Adb
from edge.devices.battery import POWER_SUPPLIES, feeds_device, question, said_by_kernel, said_by_service
from edge.devices.information import device_kind
from foundation.progress import SILENT, Progress

CPUS = "/sys/devices/system/cpu"
LOAD = "/proc/loadavg"
GATE_SECONDS = 1800.0
_LOOK_AGAIN_SECONDS = 5.0
# `dumpsys` gives a service ten seconds; there are two.
_PATIENCE_SECONDS = 30.0

_CPUFREQ_LINE = re.compile(r"^cpu(\d+)/(scaling_\w+)=(\S+)$", re.MULTILINE)
_THERMAL_LINE = re.compile(r"^Thermal Status: ([0-6])\s*$", re.MULTILINE)
# `cmd thermalservice override-status`: what is told from then on, somebody made up.
_OVERRIDDEN = "IsStatusOverride: true"
_LOAD_LINE = re.compile(r"^load=(\d+\.\d+) ", re.MULTILINE)
# A phone switches off long before either; a value beyond is in other units than it should be.
_TEMPERATURES_C = (-40.0, 120.0)


@dataclass(frozen=True)
class Snapshot:
    """What a device said of itself at one moment.

    Attributes:
        battery_c: temperature of the battery, °C.
        plugged: whether anything but the battery feeds the device.
        thermal_status: Android's, 0 (none) to 6 (shutdown).
        governors: cpufreq governor by number of the core.
        frequencies_khz: current frequency, kHz.
        limits_khz: highest frequency that is allowed now, kHz; heat lowers it.
        load_average: of the last minute.
    """

    battery_c: float | None = None
    plugged: bool | None = None
    thermal_status: int | None = None
    governors: dict[int, str] | None = None
    frequencies_khz: dict[int, int] | None = None
    limits_khz: dict[int, int] | None = None
    load_average: float | None = None


class ConditionsReader:
    """Asks a device about its state; each answer is one command there.

    Args:
        adb: the device.
        physical: whether it has a battery and a skin; None: by its properties.
        cpus: where its kernel tells of processors.
        load: where it tells of load.
        power_supplies: where it tells of batteries.
    """

    def __init__(
        self,
        adb: Adb,
        *,
        physical: bool | None = None,
        cpus: str = CPUS,
        load: str = LOAD,
        power_supplies: str = POWER_SUPPLIES,
    ) -> None:
        self._adb = adb
        self.physical = device_kind(adb.properties(), adb.serial) == "physical" if physical is None else physical
        clocks = (
            f"cd {shlex.quote(cpus)} 2>/dev/null && for c in cpu[0-9]*; do "
            "for f in scaling_governor scaling_cur_freq scaling_max_freq; do "
            '[ -r "$c/cpufreq/$f" ] && echo "$c/$f=$(cat "$c/cpufreq/$f" 2>/dev/null)"; done; done'
        )
        heat = f"{question(power_supplies, 'type scope present temp')}; dumpsys thermalservice 2>/dev/null; true"
        self._question = f'echo "load=$(cat {shlex.quote(load)} 2>/dev/null)"; {clocks}; '
        self._question += heat if self.physical else "true"

    def read(self) -> Snapshot:
        """Ask once.

        Raises:
            DeviceError: the device does not answer.
        """
        said = self._adb.shell(self._question, _PATIENCE_SECONDS).stdout
        return parse_snapshot(said.decode(errors="replace").replace("\r\n", "\n"))


def parse_snapshot(text: str) -> Snapshot:
    """Read what the question of `ConditionsReader` brings: `dumpsys` as AOSP prints it, and lines FILE=VALUE."""
    clocks: dict[str, dict[int, str]] = {}
    for core, file, value in _CPUFREQ_LINE.findall(text):
        clocks.setdefault(file, {})[int(core)] = value
    thermal, load = _THERMAL_LINE.search(text), _LOAD_LINE.search(text)
    temperature, plugged = _battery(text)
    return Snapshot(
        battery_c=temperature,
        plugged=plugged,
        thermal_status=int(thermal[1]) if thermal and _OVERRIDDEN not in text else None,
        governors=clocks.get("scaling_governor"),
        frequencies_khz=_numbers(clocks.get("scaling_cur_freq")),
        limits_khz=_numbers(clocks.get("scaling_max_freq")),
        load_average=float(load[1]) if load else None,
    )


@dataclass(frozen=True)
class GatePassed:
    """How `wait_until_cool` ended: seconds waited, and whether the time was over before the battery was cool."""

    waited_seconds: float
    timed_out: bool


def wait_until_cool(
    reader: ConditionsReader,
    limit_c: float,
    seconds: float = GATE_SECONDS,
    progress: Progress = SILENT,
    *,
    now: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> GatePassed | None:
    """Wait until the battery is at `limit_c` or below, for `seconds` at most.

    Returns:
        None where the device tells no battery temperature: there is nothing to wait for.

    Raises:
        DeviceError: the device does not answer.
    """
    start = now()
    with progress.task(f"waiting for {limit_c:g} °C") as advance:
        while (battery := reader.read().battery_c) is not None:
            waited = now() - start
            if battery <= limit_c or waited >= seconds:
                return GatePassed(waited, battery > limit_c)
            advance(0, f"battery {battery:.1f} °C")
            sleep(min(_LOOK_AGAIN_SECONDS, seconds - waited))
    return None


def _battery(text: str) -> tuple[float | None, bool | None]:
    """Temperature and whether it is fed from outside, by Android's service; the temperature else by the kernel."""
    said = said_by_service(text)
    if "temperature" not in said:
        batteries = (supply for supply in said_by_kernel(text).values() if feeds_device(supply))
        return next((_celsius(supply["temp"]) for supply in batteries if "temp" in supply), None), None
    powered = [value for name, value in said.items() if name.endswith(" powered")]
    return _celsius(said["temperature"]), "true" in powered if powered else None


def _celsius(tenths: str) -> float | None:
    if not re.fullmatch(r"-?\d{1,5}", tenths):
        return None
    value = int(tenths) / 10
    return value if _TEMPERATURES_C[0] <= value <= _TEMPERATURES_C[1] else None


def _numbers(values: Mapping[int, str] | None) -> dict[int, int] | None:
    found = {core: int(value) for core, value in (values or {}).items() if value.isdecimal()}
    return found or None
