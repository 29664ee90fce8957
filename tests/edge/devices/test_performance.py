"""Fixed performance mode is switched off again on the device, also when the host is killed or the cable pulled."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from edge.adb.client import Adb
from edge.adb.connection import DirectConnection
from edge.adb.keys import HostKey
from edge.devices.embedded.launch import EmbeddedDevice
from edge.devices.information import DeviceInfo, inspect
from edge.devices.performance import FixedPerformance

from .waiting import becomes

pytestmark = pytest.mark.device

# Stands for Android's `cmd` on the embedded device's PATH: it keeps what it is told.
COMMAND = """#!/bin/sh
[ "$1 $2" = "power set-fixed-performance-mode-enabled" ] || exit 9
[ ! -e "$HOME/unsupported" ] || { echo "Failed to set FIXED_PERFORMANCE mode"; exit 255; }
echo "$3" >> "$HOME/mode"
"""
# A host that switches the mode on and then waits for its end.
HOST = """
import sys, time
from dataclasses import replace
from pathlib import Path
from edge.adb.client import Adb
from edge.adb.connection import DirectConnection
from edge.adb.keys import HostKey
from edge.devices.information import inspect
from edge.devices.performance import FixedPerformance

adb = Adb(DirectConnection.tcp("127.0.0.1", int(sys.argv[1]), HostKey(Path(sys.argv[2]))))
info = replace(inspect(adb, "phone"), kind="physical", properties={"ro.build.version.sdk": "34"})
with FixedPerformance(adb, info) as mode:
    print(mode.on, flush=True)
    time.sleep(60)
"""


@pytest.fixture(scope="module")
def device() -> Iterator[EmbeddedDevice]:
    with EmbeddedDevice.start() as started:
        command = started.root / "system" / "bin" / "cmd"
        command.write_text(COMMAND)
        command.chmod(0o755)
        yield started


@pytest.fixture
def adb(device: EmbeddedDevice) -> Iterator[Adb]:
    for name in ("mode", "unsupported"):
        (device.root / name).unlink(missing_ok=True)
    with Adb(DirectConnection.tcp(*device.address, HostKey(device.key_path))) as opened:
        yield opened


def phone(adb: Adb, api: str = "34") -> DeviceInfo:
    """The embedded device, taken for a phone."""
    return replace(inspect(adb, "serial:phone"), kind="physical", properties={"ro.build.version.sdk": api})


def told(device: EmbeddedDevice) -> list[str]:
    """What the device's `cmd` was told, in order."""
    kept: Path = device.root / "mode"
    return kept.read_text().split() if kept.exists() else []


def test_it_is_on_within_and_off_afterwards(device: EmbeddedDevice, adb: Adb) -> None:
    with FixedPerformance(adb, phone(adb)) as mode:
        assert mode.on
        assert told(device) == ["true"]
    assert told(device) == ["true", "false"]


@pytest.mark.usefixtures("adb")
def test_a_host_that_is_killed_leaves_it_off(device: EmbeddedDevice) -> None:
    words = [sys.executable, "-c", HOST, str(device.address[1]), str(device.key_path)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[3]) as host:
        assert host.stdout is not None
        assert host.stdout.readline() == "True\n"
        assert told(device) == ["true"]
        os.kill(host.pid, signal.SIGKILL)
    assert becomes(lambda: told(device) == ["true", "false"])


def test_a_pulled_cable_leaves_it_off(device: EmbeddedDevice, adb: Adb) -> None:
    mode = FixedPerformance(adb, phone(adb)).__enter__()
    assert mode.on
    adb.close()
    assert becomes(lambda: told(device) == ["true", "false"])


def test_a_device_that_refuses_is_believed(device: EmbeddedDevice, adb: Adb) -> None:
    (device.root / "unsupported").touch()
    with FixedPerformance(adb, phone(adb)) as mode:
        assert not mode.on
        assert "Failed to set" in mode.why_not


def test_it_is_asked_of_no_old_phone_and_of_no_emulated_one(device: EmbeddedDevice, adb: Adb) -> None:
    for info, why in ((phone(adb, "29"), "API 29"), (inspect(adb, "embedded"), "only a phone")):
        with FixedPerformance(adb, info) as mode:
            assert not mode.on
            assert why in mode.why_not
    assert told(device) == []
