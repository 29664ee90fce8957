"""Steps on a Ray of our own."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

from edgecat.settings import RunSettings
from edgecat.sweeps.on_ray import on_this_machine
from edgecat.sweeps.pools import Device, parse_pool
from edgecat.sweeps.schedule import Schedule
from edgecat.sweeps.steps import Outcome, Step

# Not loaded here: it reads its environment when it is.
pytestmark = [
    pytest.mark.timeout(120),
    pytest.mark.skipif(find_spec("ray") is None, reason="Ray (extra `fleet`) is not installed"),
]


def working(place: Path, killed: frozenset[str]) -> Callable[[Step, Device | None], Outcome]:
    """Does a step: marks who has the device meanwhile. Its first try at the steps in `killed` is killed."""

    # A closure, which Ray carries to its workers as it is: they cannot import a test.
    def work(step: Step, device: Device | None) -> Outcome:
        import os
        import signal
        import time

        from edgecat.sweeps.steps import Outcome

        assert device is not None
        with (place / step.name).open("a") as stream:
            stream.write("tried\n")
        if step.name in killed and (place / step.name).read_text().count("tried") == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        if step.name == "bug":
            raise ZeroDivisionError("a bug")
        busy = place / f"{device.name}.busy"
        busy.touch(exist_ok=False)
        time.sleep(0.1)
        busy.unlink()
        return Outcome("done")

    return work


def listening() -> list[str]:
    """Local addresses of Ray's listening sockets."""
    lines = subprocess.run(["ss", "-Hltnp"], capture_output=True, text=True, check=True).stdout.splitlines()
    return [line.split()[3] for line in lines if "raylet" in line or "gcs_server" in line or "ray::" in line]


def test_killed_workers_are_replaced_a_device_has_one_step_and_nobody_outside_is_listened_to(tmp_path: Path) -> None:
    devices = parse_pool("embedded*2").devices
    names = [*(f"step{n}" for n in range(5)), "bug"]
    steps = [Step(name, "job", tmp_path, RunSettings(), name, devices=devices) for name in names]
    work = working(tmp_path, frozenset({"step0", "step3"}))
    with on_this_machine(3, devices, work) as executor:
        outcomes = Schedule(steps, executor).run()
        addresses = listening()
    assert {name: outcomes[name].state for name in names} == dict.fromkeys(names[:5], "done") | {"bug": "failed"}
    assert "a bug" in outcomes["bug"].message
    tries = {name: (tmp_path / name).read_text().count("tried") for name in names}
    assert tries == {name: 2 if name in ("step0", "step3") else 1 for name in names}
    assert addresses
    assert all("127.0.0.1" in address for address in addresses), addresses
