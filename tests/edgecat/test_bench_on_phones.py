"""What `bench` asks of a phone: here the embedded device, with Android's commands played by scripts that keep what they
are told. A real phone was never there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.records import Latency, TemperatureGate
from edge.adb.client import Adb
from edge.adb.connection import DirectConnection
from edge.adb.keys import HostKey
from edge.devices.embedded.launch import EmbeddedDevice
from edge.devices.opening import OpenDevice
from edge.runner.messages import BenchmarkRequest
from edgecat.stages.bench import BenchPlan, bench
from foundation.errors import UsageError
from foundation.manifest import Artifact

pytestmark = [pytest.mark.device, pytest.mark.export]

COMMANDS = {
    "cmd": 'echo "$3" >> "$HOME/mode"',
    "dumpsys": """case $1 in
battery) printf '  USB powered: true\\n  level: 50\\n  temperature: 401\\n' ;;
thermalservice) printf 'IsStatusOverride: false\\nThermal Status: 1\\n' ;;
esac""",
}


@pytest.fixture
def hot_phone() -> Iterator[tuple[OpenDevice, Path]]:
    """A phone at 40.1 °C, and where its `cmd` keeps what it is told."""
    with EmbeddedDevice.start() as started:
        for name, script in COMMANDS.items():
            command = started.root / "system" / "bin" / name
            command.write_text(f"#!/bin/sh\n{script}\n")
            command.chmod(0o755)
        adb = Adb(DirectConnection.tcp(*started.address, HostKey(started.key_path)))
        with OpenDevice.over(adb, "serial:phone") as opened:
            opened.info = replace(opened.info, kind="physical", properties={"ro.build.version.sdk": "34"})
            yield opened, started.root / "mode"


@pytest.fixture
def artifact(exported: Callable[[str, int], Any]) -> Artifact:
    found: Artifact = exported("tflite_int8", 1).artifact
    return found


def plan(**changes: Any) -> BenchPlan:
    brief = BenchmarkRequest(warmup_runs=2, min_runs=40, min_seconds=0.01)
    return BenchPlan(request=brief, repeats=1, memory=False, **changes)


def test_heat_and_mode_stand_in_the_record_and_the_mode_is_off_afterwards(
    hot_phone: tuple[OpenDevice, Path], artifact: Artifact
) -> None:
    opened, mode = hot_phone
    wanted = plan(max_temperature_c=35, gate_seconds=0, fixed_performance=True)
    *_, record = bench(opened, [artifact], wanted)
    assert isinstance(record, Latency)
    assert record.conditions is not None
    gate = record.conditions.gate
    assert gate == TemperatureGate(limit_c=35, waited_seconds=gate.waited_seconds if gate else 0, timed_out=True)
    assert (record.conditions.battery_c_start, record.conditions.plugged) == (40.1, True)
    assert (record.conditions.thermal_status_end, record.validity.throttled) == (1, True)
    assert record.conditions.fixed_performance is True
    assert mode.read_text().split() == ["true", "false"]


def test_who_looks_at_one_record_only_leaves_the_mode_off_too(
    hot_phone: tuple[OpenDevice, Path], artifact: Artifact
) -> None:
    opened, mode = hot_phone
    records = bench(opened, [artifact], replace(plan(fixed_performance=True), repeats=5))
    next(records)
    records.close()  # type: ignore[attr-defined]
    assert mode.read_text().split() == ["true", "false"]


def test_a_file_that_is_given_twice_is_refused_before_anything_is_pushed(
    hot_phone: tuple[OpenDevice, Path], artifact: Artifact
) -> None:
    with pytest.raises(UsageError, match="given twice"):
        bench(hot_phone[0], [artifact, artifact], plan())
