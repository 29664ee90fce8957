"""A sweep from its file to its table."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgecat.directory import RunDirectory
from edgecat.sweeps.executors import Executor, Serial
from edgecat.sweeps.jobs import Job, find_jobs
from edgecat.sweeps.places import SweepDirectory
from edgecat.sweeps.pools import Device
from edgecat.sweeps.schedule import MAX_RETRIES, Schedule
from edgecat.sweeps.steps import Outcome, plan_steps
from edgecat.sweeps.sweep_file import read_sweep
from edgecat.sweeps.telling import SweepSummary, summarise
from foundation.errors import UsageError
from foundation.progress import SILENT, Progress


@dataclass(frozen=True)
class Means:
    """What a sweep is carried out with.

    Attributes:
        workers: jobs at once; None: as many as there are cores.
        address: of a Ray cluster; None: a Ray of its own on this machine.
        serial: no Ray: one job after the other in this process.
        retries: of a job whose worker was killed, or whose device failed and answers again.
    """

    workers: int | None = None
    address: str | None = None
    serial: bool = False
    retries: int = MAX_RETRIES


def plan(path: Path) -> list[Job]:
    """The jobs of a sweep's file; see `edgecat.sweeps.sweep_file.read_sweep` and `edgecat.sweeps.jobs.find_jobs`."""
    return find_jobs(read_sweep(path))


def run_sweep(
    jobs: Sequence[Job], directory: Path, means: Means | None = None, progress: Progress = SILENT
) -> SweepSummary:
    """Do the jobs that are not done yet.

    Args:
        jobs: what is asked.
        directory: where they stand; what is done there already is not done again, whichever sweep asked for it.
        means: what to do it with.
        progress: where to show it.

    Returns:
        what became of each job.

    Raises:
        UsageError: another sweep works there, or Ray cannot be had.
    """
    means = means or Means()
    if means.serial and (means.address or (means.workers or 1) > 1):
        raise UsageError("--serial is one job at a time in this process", hint="leave out --address and --workers")
    sweep = SweepDirectory(directory)
    try:
        (directory / "jobs").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot write {directory}: {error.strerror}", hint="choose another --out") from error
    start = time.monotonic()
    with RunDirectory(directory).locked():
        missing = [job for job in jobs if sweep.done(job.key) is None]
        progress.say(f"{directory}: {len(jobs)} jobs, {len(jobs) - len(missing)} of them done already")
        outcomes = _carry_out(sweep, missing, means, progress) if missing else {}
    return summarise(sweep, jobs, outcomes, time.monotonic() - start)


def _carry_out(sweep: SweepDirectory, jobs: Sequence[Job], means: Means, progress: Progress) -> dict[str, Outcome]:
    devices = tuple(dict.fromkeys(device for job in jobs for device in job.devices))
    with _executor(means, devices) as executor:
        return Schedule(plan_steps(sweep, jobs), executor, means.retries, progress).run()


def _executor(means: Means, devices: Sequence[Device]) -> contextlib.AbstractContextManager[Executor]:
    if means.serial:
        return contextlib.nullcontext(Serial())
    from edgecat.sweeps.on_ray import on_cluster, on_this_machine

    if means.address is not None:
        return on_cluster(means.address, means.workers, devices)
    return on_this_machine(means.workers, devices)
