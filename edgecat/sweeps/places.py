"""A sweep's directory, which several sweeps may share.

jobs/KEY/       a run directory as `edgecat run` leaves one, without the report; done.json is renamed into place last
                attempts.jsonl has a line for each time that work on it began, job.log what it told
shared/         victim-KEY/ and export-KEY-RECIPE/: made once, for all jobs that need them
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from edgecat.directory import RunDirectory
from foundation.files import write_text


class Numbers(BaseModel):
    """What a job is looked at for; the rest is in its records.

    Attributes:
        accuracy: the float victim's, on the test split.
        fidelity: mean over the thieves at their largest budget that the sweep asked for, random baselines apart.
        queries: of one such thief.
        p50_us: latency of the first target on the device; it differs from run to run.
    """

    model_config = ConfigDict(frozen=True)

    accuracy: float | None = None
    fidelity: float | None = None
    queries: int | None = None
    p50_us: float | None = None


class Done(BaseModel):
    """The marker of a job that is done.

    Attributes:
        device: where, without a phone's serial number.
        seconds: of the attempt that ended it.
        numbers: what it is looked at for.
    """

    model_config = ConfigDict(frozen=True)

    device: str
    seconds: float
    numbers: Numbers


@dataclass(frozen=True)
class Attempt:
    """One line of attempts.jsonl."""

    pid: int
    device: str
    started: str

    @classmethod
    def now(cls, pid: int, device: str) -> Attempt:
        """One that begins now."""
        return cls(pid, device, datetime.now(timezone.utc).isoformat())


@dataclass(frozen=True)
class SweepDirectory:
    """The places in a sweep's directory."""

    path: Path

    def job(self, key: str) -> RunDirectory:
        """The run directory of a job."""
        return RunDirectory(self.path / "jobs" / key)

    def lock(self, key: str) -> Path:
        """Held by whoever works on a job."""
        return self.path / "jobs" / f".{key}.lock"

    def log(self, key: str) -> Path:
        """What a job told."""
        return self.job(key).path / "job.log"

    def victim(self, key: str) -> Path:
        """Where a victim stands."""
        return self.path / "shared" / f"victim-{key}"

    def export(self, key: str, recipe: str) -> Path:
        """Where a victim's file by a recipe stands."""
        return self.path / "shared" / f"export-{key}-{recipe}"

    def done(self, key: str) -> Done | None:
        """The marker of a job; None where it is not done."""
        try:
            return Done.model_validate_json(self._marker(key).read_bytes())
        except (FileNotFoundError, ValidationError):
            # A marker is renamed into place whole: what cannot be read is not one of ours.
            return None

    def mark_done(self, key: str, done: Done) -> None:
        """Say that a job is done; the last thing that is done for it."""
        write_text(self._marker(key), done.model_dump_json(indent=2))

    def attempts(self, key: str) -> list[Attempt]:
        """How often work on a job began, oldest first; a line that a kill tore is left out."""
        try:
            lines = self._attempts(key).read_text().splitlines()
        except FileNotFoundError:
            return []
        return [Attempt(**json.loads(line)) for line in lines if line.endswith("}")]

    def begin(self, key: str, attempt: Attempt) -> None:
        """Keep that work on a job begins."""
        with self._attempts(key).open("a") as stream:
            stream.write(json.dumps(asdict(attempt)) + "\n")

    def _marker(self, key: str) -> Path:
        return self.job(key).path / "done.json"

    def _attempts(self, key: str) -> Path:
        return self.job(key).path / "attempts.jsonl"
