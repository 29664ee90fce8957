"""A small sweep, one job after the other: done once, gone on with, shared, told."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from benchmarks import records
from benchmarks.records import ArtifactRecord, Attack, Latency, Victim
from edgecat.directory import RunDirectory
from edgecat.sweeps import job_work, work
from edgecat.sweeps.jobs import Job
from edgecat.sweeps.places import SweepDirectory
from edgecat.sweeps.running import Means, plan, run_sweep
from edgecat.sweeps.telling import SweepSummary, UnfinishedSweep
from foundation.errors import DeviceError, ExitCode, UsageError

from ..command_line import Ended

pytestmark = [pytest.mark.device, pytest.mark.export, pytest.mark.timeout(200)]

BUDGET = 30
SWEEP = """
[settings]
data = "{data}"
recipes = ["tflite_int8"]
budgets = [30]
strategies = ["random"]
quick = true
baseline = false
gains = false
seeds = 1
epochs = 1
thief = "plain"
effort = 0.02
runner = "python"

[grid]
devices = ["embedded*2"]
pools = ["npd", "pd:9"]
thief_seed = [1, 0, 1]
"""


class Swept:
    """A sweep and its directory."""

    def __init__(self, file: Path, directory: Path) -> None:
        self.jobs: list[Job] = plan(file)
        self.place = SweepDirectory(directory)

    def run(self) -> SweepSummary:
        return run_sweep(self.jobs, self.place.path, Means(serial=True))

    def records(self, job: Job) -> list[records.Record]:
        return records.read(self.place.job(job.key).results)

    def paid(self, job: Job) -> int:
        with closing(sqlite3.connect(self.place.job(job.key).ledger)) as ledger:
            return int(ledger.execute("SELECT count(*) FROM queries").fetchone()[0])


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory, data: Path) -> Path:
    """Two thieves, one of them asked for twice, on two pools, one of which is smaller than the budget."""
    path = tmp_path_factory.mktemp("sweep") / "sweep.toml"
    path.write_text(SWEEP.format(data=data))
    return path


@pytest.fixture(scope="module")
def swept(file: Path) -> tuple[Swept, SweepSummary]:
    """The sweep, done; in the middle of its first job it was killed once."""
    swept = Swept(file, file.parent / "swept")
    with pytest.MonkeyPatch.context() as patch:
        real = job_work.Done

        def killed(**_: object) -> None:
            patch.setattr(job_work, "Done", real)
            raise KeyboardInterrupt

        patch.setattr(job_work, "Done", killed)
        with pytest.raises(KeyboardInterrupt):
            swept.run()
    return swept, swept.run()


def test_each_job_is_done_once_and_one_that_cannot_work_stops_no_other(swept: tuple[Swept, SweepSummary]) -> None:
    sweep, summary = swept
    assert [job.state for job in summary.jobs] == ["done", "done", "failed", "failed"]
    for job in sweep.jobs[:2]:
        kinds = Counter(type(record) for record in sweep.records(job))
        assert [kinds[kind] for kind in (Victim, ArtifactRecord, Latency, Attack)] == [1, 1, 1, 1]
        assert sweep.paid(job) == BUDGET
    assert "holds 9 images" in (summary.jobs[2].error or "")
    with pytest.raises(UnfinishedSweep, match="2 of 4 jobs") as caught:
        summary.complete_or_fail()
    assert caught.value.exit_code == ExitCode.DATA


def test_a_job_that_was_killed_goes_on_from_its_ledger(swept: tuple[Swept, SweepSummary]) -> None:
    sweep, summary = swept
    assert [job.attempts for job in summary.jobs[:2]] == [2, 1]
    thief = next(record for record in sweep.records(sweep.jobs[0]) if isinstance(record, Attack))
    assert (thief.queries, thief.device_queries) == (BUDGET, BUDGET)


def test_what_is_done_is_not_begun_again_by_this_sweep_or_another(
    swept: tuple[Swept, SweepSummary], monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep, _ = swept
    monkeypatch.setattr(work, "_WORK", {})
    again = run_sweep(sweep.jobs[:2], sweep.place.path, Means(serial=True))
    assert [(job.state, job.earlier) for job in again.jobs] == [("done", True), ("done", True)]


def test_victim_and_files_are_made_once_for_all_jobs(swept: tuple[Swept, SweepSummary]) -> None:
    sweep, _ = swept
    names = sorted(path.name.split("-")[0] for path in (sweep.place.path / "shared").iterdir() if path.is_dir())
    assert names == ["export", "victim"]
    victims = {job.victim for job in sweep.jobs}
    files = {sweep.place.job(job.key).checkpoint.read_bytes() for job in sweep.jobs[:2]}
    assert len(victims) == len(files) == 1


def test_numbers_are_those_of_the_jobs_records(swept: tuple[Swept, SweepSummary]) -> None:
    sweep, summary = swept
    for job, told in zip(sweep.jobs[:2], summary.jobs, strict=False):
        found = sweep.records(job)
        thief = next(record for record in found if isinstance(record, Attack))
        victim = next(record for record in found if isinstance(record, Victim))
        assert (told.numbers.fidelity, told.numbers.queries) == (thief.fidelity, thief.queries)
        assert told.numbers.accuracy == victim.accuracy


def test_a_second_sweep_is_kept_out_of_a_directory(swept: tuple[Swept, SweepSummary]) -> None:
    sweep, _ = swept
    with RunDirectory(sweep.place.path).locked(), pytest.raises(UsageError, match="another edgecat works"):
        sweep.run()


def test_a_device_that_does_not_answer_leaves_its_jobs_undone(
    swept: tuple[Swept, SweepSummary], monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep, _ = swept
    (sweep.place.job(sweep.jobs[0].key).path / "done.json").unlink()

    def fails(*_: object) -> None:
        raise DeviceError("the cable is out", device="embedded")

    monkeypatch.setattr("edgecat.pipeline.measure", fails)
    monkeypatch.setattr(work, "_answers", lambda _: False)
    (told,) = run_sweep(sweep.jobs[:1], sweep.place.path, Means(serial=True)).jobs
    assert (told.state, told.exit_code) == ("undone", ExitCode.DEVICE)
    assert "the cable is out" in (told.error or "")


def test_the_command_tells_its_plan_and_refuses_what_it_cannot_do(
    edgecat_here: Callable[..., Ended], file: Path, tmp_path: Path
) -> None:
    planned = edgecat_here("sweep", file, "--out", tmp_path / "new", "--dry-run", "--json").document()
    assert [job["state"] for job in planned["jobs"]] == ["undone"] * 4
    assert not (tmp_path / "new").exists()
    assert "no sweep to resume" in edgecat_here("sweep", file, "--out", tmp_path / "new", "--resume").refusal(2)
    assert "--serial" in edgecat_here("sweep", file, "--out", tmp_path / "new", "--serial", "--workers", "2").refusal(2)
