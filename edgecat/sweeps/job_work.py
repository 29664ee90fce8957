"""Doing a job of a sweep: a run whose victim and files are there already."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from benchmarks import records
from edgecat.directory import RunDirectory
from edgecat.settings import RunSettings, load_settings, save_settings
from edgecat.sweeps.places import Attempt, Done, Numbers, SweepDirectory
from edgecat.sweeps.pools import Device
from edgecat.sweeps.steps import Step
from foundation.errors import DataError, UsageError
from foundation.files import replacing
from foundation.folders import locked
from foundation.progress import SILENT, Advance


def do_job(step: Step, device: Device) -> None:
    """Walk the road for a job, or the rest of it, and mark the job as done.

    Raises:
        EdgecatError: whatever went wrong; the job can be begun again.
    """
    from edgecat.pipeline import measure

    sweep = SweepDirectory(step.sweep)
    # A worker of a sweep that was killed may not have noticed yet.
    with locked(sweep.lock(step.key)):
        if sweep.done(step.key) is not None:
            return
        settings = step.settings.model_copy(update={"device": device.spec})
        start = time.monotonic()
        place = _prepared(sweep, step, settings)
        sweep.begin(step.key, Attempt.now(os.getpid(), device.anonymous))
        with _Log.opened(sweep.log(step.key)) as log:
            measure(settings, place, log)
        done = Done(device=device.anonymous, seconds=time.monotonic() - start, numbers=_numbers(sweep, step))
        sweep.mark_done(step.key, done)


def _prepared(sweep: SweepDirectory, step: Step, settings: RunSettings) -> RunDirectory:
    """The job's run directory, with the victim and the files that it shares with others."""
    place = sweep.job(step.key)
    _forget_another_device(place.path, settings)
    place.path.mkdir(parents=True, exist_ok=True)
    _share(sweep.victim(step.victim) / "victim.safetensors", place.checkpoint)
    known = records.read(place.results) if place.results.exists() else []
    names = {record.name for record in known if isinstance(record, records.ArtifactRecord)}
    for recipe in settings.chosen_recipes:
        folder = sweep.export(step.victim, recipe.name)
        for file in (recipe.file_name, f"{recipe.file_name}.json"):
            _share(folder / file, place.artifacts / file)
        for record in records.read(folder / "results.jsonl"):
            if isinstance(record, records.ArtifactRecord) and record.name not in names:
                records.append(place.results, record.model_copy(update={"run_id": place.run_id}))
    save_settings(settings, place.settings)
    return place


def _forget_another_device(place: Path, settings: RunSettings) -> None:
    """A run stays on one device: what it did on another that failed is begun anew on this one."""
    if (place / "run.toml").exists():
        with suppress(DataError):
            if load_settings(place / "run.toml").device == settings.device:
                return
        shutil.rmtree(place)


def _share(source: Path, target: Path) -> None:
    if not target.exists():
        with replacing(target) as temporary:
            shutil.copyfile(source, temporary)


def _numbers(sweep: SweepDirectory, step: Step) -> Numbers:
    found = records.read(sweep.job(step.key).results)
    victims = [record for record in found if isinstance(record, records.Victim)]
    latencies = [record for record in found if isinstance(record, records.Latency)]
    asked = step.settings
    thieves = [
        record
        for record in found
        if isinstance(record, records.Attack)
        and record.budget == asked.budgets[-1]
        and (not asked.strategies or record.strategy in asked.strategies)
    ]
    target = thieves[0].artifact if thieves else None
    p50 = [one.latency_us.p50 for one in latencies if one.latency_us is not None and one.artifact == target]
    return Numbers(
        accuracy=victims[-1].accuracy if victims else None,
        fidelity=sum(thief.fidelity for thief in thieves) / len(thieves) if thieves else None,
        queries=thieves[0].queries if thieves else None,
        p50_us=p50[-1] if p50 else None,
    )


class _Log:
    """Progress of a job as lines of a file."""

    def __init__(self, path: Path) -> None:
        self._stream = path.open("a", buffering=1)

    @classmethod
    @contextmanager
    def opened(cls, path: Path) -> Iterator[_Log]:
        """A log for the length of a `with` block; an error is its last line."""
        try:
            log = cls(path)
        except OSError as error:
            raise UsageError(f"cannot write {path}: {error.strerror}", hint="free some space") from error
        with log._stream:
            try:
                yield log
            except BaseException as error:
                log.say(f"{type(error).__name__}: {error}")
                raise

    @contextmanager
    def task(self, description: str, total: float | None = None) -> Iterator[Advance]:
        """See `foundation.progress.Progress.task`."""
        self.say(description)
        with SILENT.task(description, total) as advance:
            yield advance

    def say(self, message: str) -> None:
        """See `foundation.progress.Progress.say`."""
        with suppress(OSError):
            self._stream.write(f"{time.strftime('%H:%M:%S')} {message}\n")
