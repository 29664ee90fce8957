"""Which step comes next, on which device, and what becomes of a step that went wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from edgecat.sweeps.executors import Executor
from edgecat.sweeps.pools import Device
from edgecat.sweeps.steps import Outcome, Step
from foundation.errors import ExitCode
from foundation.progress import SILENT, Advance, Progress

# A worker that is killed once was in somebody's way; one that is killed again and again does something that kills it.
MAX_RETRIES = 3
_AGAIN = ("lost", "shaken")


class Schedule:
    """Does every step that can be done.

    A step whose worker was killed, or whose device failed and answers again, is done again, at most `retries` times. A
    device that does not answer is left alone from then on; a step that it had goes to another that stands for it. What
    needs a step that failed, or a device where none is left, is not done.

    Args:
        steps: each after those it needs.
        executor: does them.
        retries: for each step.
        progress: where to show it.

    Attributes:
        outcomes: of the steps that ended, by name.
        out_of_service: what devices said that are left alone, by device.
    """

    def __init__(
        self, steps: Sequence[Step], executor: Executor, retries: int = MAX_RETRIES, progress: Progress = SILENT
    ) -> None:
        self.outcomes: dict[str, Outcome] = {}
        self.out_of_service: dict[Device, Outcome] = {}
        self._waiting = {step.name: step for step in steps}
        self._running: dict[str, Device | None] = {}
        self._unseen = {step.devices[0] for step in steps if step.kind == "device"}
        self._executor, self._retries, self._progress = executor, retries, progress
        self._tries: Counter[str] = Counter()

    def run(self) -> dict[str, Outcome]:
        """Do them; the outcome of every step, by name."""
        with self._progress.task("sweep", len(self._waiting)) as advance:
            while self._waiting or self._running:
                self._drop_hopeless(advance)
                self._drop_unwanted(advance)
                self._start()
                if self._running:
                    self._settle(*self._executor.wait(), advance)
        return self.outcomes

    def _start(self) -> None:
        for step in list(self._waiting.values()):
            if len(self._running) >= self._executor.capacity:
                return
            if any(name not in self.outcomes for name in step.needs):
                continue
            device = self._free(step)
            if device is not None or not step.devices:
                del self._waiting[step.name]
                self._running[step.name] = device
                self._executor.start(step, device)

    def _free(self, step: Step) -> Device | None:
        for device in step.devices:
            seen = step.kind == "device" or device not in self._unseen
            if seen and device not in self.out_of_service and device not in self._running.values():
                return device
        return None

    def _settle(self, step: Step, outcome: Outcome, advance: Advance) -> None:
        device = self._running.pop(step.name)
        if outcome.state in _AGAIN and self._tries[step.name] < self._retries:
            self._tries[step.name] += 1
            self._progress.say(f"{step.name}: {outcome.message}; again ({self._tries[step.name]} of {self._retries})")
            self._waiting = {step.name: step} | self._waiting
            return
        unseen = step.kind == "device" and outcome.state != "done"
        if device is not None and (unseen or outcome.state == "gone"):
            self.out_of_service[device] = replace(outcome, state="gone")
            self._progress.say(f"{device.name} is left alone: {outcome.message}")
            if step.kind != "device":
                self._waiting = {step.name: step} | self._waiting
                return
        if step.kind == "device":
            self._unseen -= {*step.devices}
        self._end(step, outcome, advance)

    def _end(self, step: Step, outcome: Outcome, advance: Advance) -> None:
        if outcome.state in _AGAIN:
            code = outcome.exit_code or ExitCode.CHECK_FAILED
            tries = self._retries + 1
            outcome = replace(outcome, state="failed", message=f"{outcome.message}, {tries} times", exit_code=code)
        self.outcomes[step.name] = outcome
        if outcome.message:
            self._progress.say(f"{step.name}: {outcome.message}")
        running = ", ".join(name[:14] for name in self._running)
        advance(1, running)

    def _drop_hopeless(self, advance: Advance) -> None:
        """End what nothing can do any more: what it needs failed, or no device is left."""
        for step in list(self._waiting.values()):
            failed = [self.outcomes[name] for name in step.needs if name in self.outcomes]
            failed = [outcome for outcome in failed if outcome.state != "done"]
            gone = [self.out_of_service[device] for device in step.devices if device in self.out_of_service]
            if failed or (gone and len(gone) == len(step.devices)):
                del self._waiting[step.name]
                why = (failed or gone)[0]
                # What every job of a victim shares is told once.
                self.outcomes[step.name] = replace(why, seconds=0.0)
                advance(1)

    def _drop_unwanted(self, advance: Advance) -> None:
        """End what only such jobs needed: no victim is trained for nobody."""
        wanted: set[str] = set()
        # Each stands after those it needs.
        for step in reversed(list(self._waiting.values())):
            if step.kind in ("victim", "export") and step.name not in wanted:
                del self._waiting[step.name]
                self.outcomes[step.name] = Outcome("gone", message="no job needs it any more")
                advance(1)
            else:
                wanted |= {*step.needs}
