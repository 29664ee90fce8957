"""The pieces of work of a sweep: a victim, an export, a job, a look at a device. `edgecat.sweeps.work` does them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edgecat.settings import RunSettings
from edgecat.sweeps.jobs import Job
from edgecat.sweeps.places import SweepDirectory
from edgecat.sweeps.pools import Device
from foundation.errors import ExitCode

Kind = Literal["device", "victim", "export", "job"]
# `shaken`: the device failed, and answers again. `gone`: it failed and does not. `lost`: whoever did it was killed.
State = Literal["done", "failed", "shaken", "gone", "lost"]


@dataclass(frozen=True)
class Step:
    """One piece of work.

    Attributes:
        name: tells it from the others.
        kind: what it is.
        sweep: the sweep's directory.
        settings: of the run it is for.
        key: of the victim or the job.
        victim: key of the victim; empty for a look at a device.
        recipe: of an export.
        devices: any of them can do it; empty where none is needed.
        needs: steps that must be done before, by name.
    """

    name: str
    kind: Kind
    sweep: Path
    settings: RunSettings
    key: str
    victim: str = ""
    recipe: str = ""
    devices: tuple[Device, ...] = ()
    needs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """How a step ended.

    Attributes:
        state: see `State`.
        seconds: wall time.
        message: what went wrong, in one line; empty where nothing did.
        hint: what to do about it.
        exit_code: what a command that failed so would end with.
    """

    state: State
    seconds: float = 0.0
    message: str = ""
    hint: str | None = None
    exit_code: int = ExitCode.DONE


def plan_steps(sweep: SweepDirectory, jobs: Sequence[Job]) -> list[Step]:
    """What must be done for jobs that are not done: each victim and each export once, every device that can be looked
    at before first."""
    steps: dict[str, Step] = {}
    for job in jobs:
        for device in job.devices:
            if not device.made:
                name = f"device {device.name}"
                steps[name] = Step(name, "device", sweep.path, job.settings, "", devices=(device,))
    for job in jobs:
        victim = Step(f"victim {job.victim}", "victim", sweep.path, job.settings, job.victim, job.victim)
        steps.setdefault(victim.name, victim)
        exports = [_export(sweep, job, recipe, victim) for recipe in job.recipes]
        for export in exports:
            steps.setdefault(export.name, export)
        steps[f"job {job.key}"] = Step(
            f"job {job.key}",
            "job",
            sweep.path,
            job.settings,
            job.key,
            job.victim,
            devices=job.devices,
            needs=tuple(export.name for export in exports),
        )
    return list(steps.values())


def _export(sweep: SweepDirectory, job: Job, recipe: str, victim: Step) -> Step:
    name = f"export {job.victim} {recipe}"
    return Step(name, "export", sweep.path, job.settings, job.victim, job.victim, recipe, needs=(victim.name,))
