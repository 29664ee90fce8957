"""What `edgecat doctor` makes of what it finds: by section, with what helps, and never a traceback."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge.adb import server, usb
from edge.devices import isolated, opening
from edge.runner import building, legacy
from edgecat import diagnosis
from edgecat.diagnosis import Check, diagnose
from foundation.errors import DeviceError

from .command_line import Ended

pytestmark = pytest.mark.timeout(60)

TARGETS = [(flavour, abi) for flavour in building.ENGINES for abi in building.ABIS]


class Phone:
    """An embedded device that answers at once."""

    info = type("Info", (), {"abi": "x86_64"})

    def __enter__(self) -> Phone:
        return self

    def __exit__(self, *_: object) -> None:
        pass


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine that lacks nothing, and has built nothing."""
    monkeypatch.setenv("EDGECAT_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(opening, "open_device", lambda _: Phone())
    monkeypatch.setattr(isolated, "missing", lambda _: [])
    monkeypatch.setattr(isolated, "built", lambda _: False)
    monkeypatch.setattr(building, "missing", lambda *_: [])
    monkeypatch.setattr(legacy, "missing", list)
    monkeypatch.setattr(shutil, "which", lambda _: "/somewhere/adb")
    monkeypatch.setattr(usb, "missing", list)


def checked() -> dict[str, Check]:
    found = diagnose()
    assert len({check.name for check in found}) == len(found)
    return {check.name: check for check in found}


def test_each_section_stands_together_in_one_order() -> None:
    sections = [check.section for check in diagnose()]
    assert list(dict.fromkeys(sections)) == ["host", "devices", "runners", "adb"]
    assert sections == sorted(sections, key=["host", "devices", "runners", "adb"].index)


def test_it_looks_at_every_kind_of_device_and_of_runner() -> None:
    checks = checked()
    assert {"embedded device", *isolated.SPECS, "tflite-legacy"} <= set(checks)
    assert {f"{flavour} runners for {abi}" for flavour, abi in TARGETS} <= set(checks)
    assert all(check.ok for name, check in checks.items() if name != "adb server")


def test_a_device_that_lacks_something_is_told_with_what_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    lacking = {"vm:arm64-v8a": ["no qemu-system-aarch64: apt-get install qemu-system-arm", "no space: free some"]}
    monkeypatch.setattr(isolated, "missing", lambda spec: lacking.get(spec, []))
    monkeypatch.setattr(isolated, "built", lambda spec: spec == "sandbox:x86_64")
    checks = checked()
    machine = checks["vm:arm64-v8a"]
    assert (machine.ok, machine.needed) == (False, False)
    assert machine.found == "no qemu-system-aarch64: apt-get install qemu-system-arm; no space: free some"
    assert checks["sandbox:x86_64"].found == "built"
    assert "edgecat emulator build" in checks["sandbox:arm64-v8a"].found


def test_a_runner_that_cannot_be_built_is_told_with_what_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    from edge.runner.building.missing import Missing

    compiler = Missing("g++ for arm64", "apt-get install g++-aarch64-linux-gnu")
    monkeypatch.setattr(building, "missing", lambda abi, _: [compiler] if abi == "arm64-v8a" else [])
    checks = checked()
    arm = checks["linux runners for arm64-v8a"]
    assert (arm.ok, arm.found, arm.hint) == (False, "no g++ for arm64", "apt-get install g++-aarch64-linux-gnu")
    assert checks["linux runners for x86_64"].ok


def test_runners_that_are_built_need_nothing_more(monkeypatch: pytest.MonkeyPatch) -> None:
    def make(flavour: str, engine: str) -> Any:
        return type("Built", (), {"target": building.make_target("x86_64", flavour, engine)})

    def fail(*_: str) -> list[object]:
        raise AssertionError

    monkeypatch.setattr(building, "list_built", lambda: [make("linux", e) for e in building.ENGINES["linux"]])
    monkeypatch.setattr(
        building, "missing", lambda abi, flavour: [] if (abi, flavour) != ("x86_64", "linux") else fail()
    )
    checks = checked()
    assert checks["linux runners for x86_64"].found == "litert built; executorch built; executorch-kernels built"
    assert "litert not built yet" in checks["linux runners for arm64-v8a"].found


def test_a_fault_while_looking_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> Any:
        raise DeviceError("it does not answer", hint="unplug it")

    for module, name in ((opening, "open_device"), (isolated, "missing"), (server, "server_runs")):
        monkeypatch.setattr(module, name, fail)
    checks = checked()
    for name in ("embedded device", *isolated.SPECS, "adb server"):
        check = checks[name]
        assert (check.ok, check.needed) == (False, name == "embedded device")
        assert (check.found, check.hint) == ("it does not answer", "unplug it")


def test_a_torn_installation_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("edge.runner.building")
    monkeypatch.setitem(sys.modules, "edge.runner.building", None)
    check = checked()["native runners"]
    assert (check.ok, check.needed, check.hint) == (False, True, "install edgecat again")


def test_people_get_a_line_for_each_check_below_its_section(
    edgecat_here: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = [
        Check("Python", True, True, "3.11"),
        Check("embedded device", False, True, "does not answer", "unplug it", "devices"),
        Check("vm:arm64-v8a", False, False, "no qemu: apt-get install qemu", None, "devices"),
    ]
    monkeypatch.setattr(diagnosis, "diagnose", lambda: found)
    ended = edgecat_here("doctor")
    assert ended.code == 1
    assert ended.stdout.splitlines() == [
        "host",
        "  ok      Python: 3.11",
        "devices",
        "  missing embedded device: does not answer  → unplug it",
        "  absent  vm:arm64-v8a: no qemu: apt-get install qemu",
    ]
    found[1:2] = []
    assert edgecat_here("doctor").code == 0
