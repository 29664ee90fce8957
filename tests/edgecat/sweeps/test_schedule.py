"""Which step comes next, and what becomes of one that went wrong."""

from __future__ import annotations

from collections import Counter, deque
from pathlib import Path

import pytest

from edgecat.settings import RunSettings
from edgecat.sweeps.pools import Device, parse_pool
from edgecat.sweeps.schedule import Schedule
from edgecat.sweeps.steps import Outcome, Step

pytestmark = pytest.mark.timeout(30)

DONE = Outcome("done")
GONE = Outcome("gone", message="silent", exit_code=3)


class Scripted:
    """Ends steps in the order begun; a step has the outcomes of its script in turn, then `done`."""

    def __init__(self, capacity: int, **script: list[Outcome]) -> None:
        self.capacity = capacity
        self.begun: list[tuple[str, str | None]] = []
        self._script = {name: deque(outcomes) for name, outcomes in script.items()}
        self._running: deque[tuple[Step, Device | None]] = deque()

    def start(self, step: Step, device: Device | None) -> None:
        assert len(self._running) < self.capacity
        assert device is None or device not in [busy for _, busy in self._running]
        self.begun.append((step.name, None if device is None else device.name))
        self._running.append((step, device))

    def wait(self) -> tuple[Step, Outcome]:
        step, device = self._running.popleft()
        for name in (step.name, "" if device is None else device.name.replace(":", "_").replace("#", "_")):
            if self._script.get(name):
                return step, self._script[name].popleft()
        return step, DONE


def job(name: str, devices: str | list[str] = "embedded*2", needs: tuple[str, ...] = ()) -> Step:
    return Step(name, "job", Path(), RunSettings(), name, devices=parse_pool(devices).devices, needs=needs)


def prepare(name: str, needs: tuple[str, ...] = ()) -> Step:
    return Step(name, "victim", Path(), RunSettings(), name, needs=needs)


def look(spec: str) -> Step:
    return Step(f"look {spec}", "device", Path(), RunSettings(), "", devices=parse_pool(spec).devices)


def states(outcomes: dict[str, Outcome]) -> dict[str, str]:
    return {name: outcome.state for name, outcome in outcomes.items()}


@pytest.mark.parametrize("capacity", [1, 2, 3, 16])
def test_every_step_is_done_once_after_those_it_needs(capacity: int) -> None:
    steps = [prepare("v"), prepare("e", ("v",)), *(job(f"j{n}", needs=("e",)) for n in range(7))]
    executor = Scripted(capacity)
    outcomes = Schedule(steps, executor).run()
    assert set(states(outcomes).values()) == {"done"}
    assert [name for name, _ in executor.begun][:2] == ["v", "e"]
    assert Counter(name for name, _ in executor.begun) == Counter(step.name for step in steps)


def test_jobs_take_whichever_equal_device_is_free() -> None:
    executor = Scripted(4)
    Schedule([job(f"j{n}", "embedded*3") for n in range(6)], executor).run()
    assert {device for _, device in executor.begun} == {"embedded#1", "embedded#2", "embedded#3"}


def test_a_job_without_a_device_does_not_keep_others_waiting() -> None:
    executor = Scripted(2)
    Schedule([job("a", "embedded"), job("b", "embedded"), job("c", "sandbox:x86_64")], executor).run()
    assert [name for name, _ in executor.begun] == ["a", "c", "b"]


@pytest.mark.parametrize("state", ["lost", "shaken"])
def test_what_was_lost_is_done_again(state: str) -> None:
    executor = Scripted(2, a=[Outcome(state, message="killed")] * 2)  # type: ignore[arg-type]
    assert states(Schedule([job("a"), job("b")], executor, retries=2).run()) == {"a": "done", "b": "done"}
    assert Counter(name for name, _ in executor.begun) == {"a": 3, "b": 1}


def test_what_is_lost_again_and_again_is_given_up() -> None:
    executor = Scripted(1, a=[Outcome("lost", message="killed")] * 9)
    outcomes = Schedule([job("a"), job("b")], executor, retries=2).run()
    assert states(outcomes) == {"a": "failed", "b": "done"}
    assert "3 times" in outcomes["a"].message
    assert outcomes["a"].exit_code == 1
    assert Counter(name for name, _ in executor.begun)["a"] == 3


def test_a_job_that_fails_does_not_stop_others_but_keeps_back_what_needs_it() -> None:
    executor = Scripted(1, v=[Outcome("failed", message="bad data", exit_code=4)])
    outcomes = Schedule([prepare("v"), prepare("e", ("v",)), job("a", needs=("e",)), job("b")], executor).run()
    assert states(outcomes) == {"v": "failed", "e": "failed", "a": "failed", "b": "done"}
    assert outcomes["a"].message == "bad data"
    assert [name for name, _ in executor.begun] == ["v", "b"]


def test_a_device_that_does_not_answer_is_left_alone_and_its_job_goes_to_an_equal_one() -> None:
    executor = Scripted(1, embedded_1=[GONE])
    schedule = Schedule([job("a"), job("b")], executor)
    assert states(schedule.run()) == {"a": "done", "b": "done"}
    assert executor.begun == [("a", "embedded#1"), ("a", "embedded#2"), ("b", "embedded#2")]
    assert [device.name for device in schedule.out_of_service] == ["embedded#1"]


def test_jobs_of_a_device_without_an_equal_stay_undone() -> None:
    executor = Scripted(1, serial_A=[GONE])
    outcomes = Schedule([job("a", "serial:A"), job("b", "serial:A"), job("c", "serial:B")], executor).run()
    assert states(outcomes) == {"a": "gone", "b": "gone", "c": "done"}
    assert outcomes["b"].message == "silent"
    assert [name for name, _ in executor.begun] == ["a", "c"]


@pytest.mark.parametrize("state", ["lost", "failed", "shaken"])
def test_a_phone_that_cannot_be_looked_at_gets_no_job(state: str) -> None:
    executor = Scripted(1, serial_A=[Outcome(state, message="no")] * 4)  # type: ignore[arg-type]
    outcomes = Schedule([look("serial:A"), job("a", "serial:A"), job("b")], executor, retries=3).run()
    assert {name: states(outcomes)[name] for name in "ab"} == {"a": "gone", "b": "done"}


def test_no_victim_is_trained_for_jobs_that_no_device_can_do() -> None:
    executor = Scripted(1, serial_A=[GONE])
    steps = [look("serial:A"), prepare("v"), prepare("e", ("v",)), job("a", "serial:A", ("e",)), prepare("w")]
    outcomes = Schedule([*steps, job("b", "embedded", ("w",))], executor).run()
    assert [name for name, _ in executor.begun] == ["look serial:A", "w", "b"]
    assert states(outcomes)["a"] == "gone"


def test_a_phone_is_looked_at_before_it_gets_a_job() -> None:
    executor = Scripted(4, serial_A=[GONE])
    pair = ["serial:A", "serial:B"]
    steps = [look("serial:A"), look("serial:B"), job("a", pair), job("b", "serial:A"), prepare("v")]
    outcomes = Schedule(steps, executor).run()
    assert states(outcomes)["a"] == "done"
    assert states(outcomes)["b"] == "gone"
    assert ("a", "serial:B") in executor.begun
    assert [name for name, _ in executor.begun if name == "b"] == []
