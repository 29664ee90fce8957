"""What became of a sweep, for people and as a document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from edgecat.sweeps.jobs import Job
from edgecat.sweeps.places import Numbers, SweepDirectory
from edgecat.sweeps.steps import Outcome
from foundation.errors import EdgecatError, ExitCode


class JobSummary(BaseModel):
    """One job.

    Attributes:
        key: of what it means; its run directory is `jobs/KEY`.
        varied: what the grid says of it.
        state: `done`, `failed` (for a reason of its own), `undone` (no device was left, or not begun).
        earlier: whether it was done before this sweep began.
        device: where it was done.
        seconds: of the attempt that ended it.
        attempts: how often work on it began.
        numbers: what it is looked at for.
        error: why it is not done.
        hint: what to do about it.
    """

    model_config = ConfigDict(frozen=True)

    key: str
    varied: dict[str, Any]
    state: Literal["done", "failed", "undone"]
    earlier: bool = False
    device: str | None = None
    seconds: float | None = None
    attempts: int = 0
    numbers: Numbers = Numbers()
    error: str | None = None
    hint: str | None = None
    exit_code: int = 0


class SweepSummary(BaseModel):
    """A sweep.

    Attributes:
        directory: where its jobs stand.
        seconds: wall time of this call.
        jobs: every job asked for.
    """

    model_config = ConfigDict(frozen=True)

    directory: str
    seconds: float
    jobs: list[JobSummary]

    def complete_or_fail(self) -> None:
        """Nothing, if every job is done.

        Raises:
            UnfinishedSweep: some are not.
        """
        left = [job for job in self.jobs if job.state != "done"]
        if left:
            raise UnfinishedSweep(left, len(self.jobs))


class UnfinishedSweep(EdgecatError):
    """Some jobs are not done. Its exit code is the one that all of them failed with; 1 where they differ."""

    def __init__(self, left: Sequence[JobSummary], total: int) -> None:
        first = left[0]
        super().__init__(
            f"{len(left)} of {total} jobs are not done; the first, {first.key}: {first.error or 'not begun'}",
            hint=first.hint or "the same command goes on with them",
        )
        codes = {job.exit_code for job in left}
        self.exit_code = ExitCode(codes.pop()) if len(codes) == 1 and codes != {0} else ExitCode.CHECK_FAILED


def summarise(
    sweep: SweepDirectory, jobs: Sequence[Job], outcomes: Mapping[str, Outcome], seconds: float
) -> SweepSummary:
    """What became of the jobs.

    Args:
        sweep: where they stand.
        jobs: all that were asked for.
        outcomes: of the steps of this call, by name; empty where none were done.
        seconds: of this call.
    """
    return SweepSummary(
        directory=str(sweep.path),
        seconds=seconds,
        jobs=[_summary(sweep, job, outcomes.get(f"job {job.key}")) for job in jobs],
    )


def _summary(sweep: SweepDirectory, job: Job, outcome: Outcome | None) -> JobSummary:
    done = sweep.done(job.key)
    attempts = len(sweep.attempts(job.key))
    if done is not None:
        return JobSummary(
            key=job.key,
            varied=dict(job.varied),
            state="done",
            earlier=outcome is None,
            device=done.device,
            seconds=done.seconds,
            attempts=attempts,
            numbers=done.numbers,
        )
    failed = outcome is not None and outcome.state != "gone"
    return JobSummary(
        key=job.key,
        varied=dict(job.varied),
        state="failed" if failed else "undone",
        attempts=attempts,
        error=outcome.message if outcome else None,
        hint=outcome.hint if outcome else None,
        exit_code=outcome.exit_code if outcome else 0,
    )


def table(summary: SweepSummary) -> list[list[str]]:
    """Rows of a table for people, its head first."""
    head = ["job", "state", "seconds", "device", "accuracy", "queries", "fidelity", "p50 µs", "what"]
    return [head, *map(_row, summary.jobs)]


def _row(job: JobSummary) -> list[str]:
    numbers = job.numbers
    state = "done before" if job.earlier else job.state
    return [
        job.key[:8],
        state if job.attempts < 2 else f"{state}, {job.attempts} attempts",
        _cell(job.seconds, ".0f"),
        job.device or "-",
        _cell(numbers.accuracy, ".1%"),
        _cell(numbers.queries, "d"),
        _cell(numbers.fidelity, ".1%"),
        _cell(numbers.p50_us, ".0f"),
        ", ".join(f"{name} {_value(value)}" for name, value in job.varied.items()),
    ]


def _cell(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def _value(value: object) -> str:
    return "+".join(map(str, value)) if isinstance(value, list) else str(value)
