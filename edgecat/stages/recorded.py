"""What `edgecat defend` measured, as records: kept with `--out`, beside those of an attack if it is its directory."""

from __future__ import annotations

from pathlib import Path

from benchmarks.records import (
    Alarm,
    DetectionReport,
    FalseAlarmRate,
    PolicyComparison,
    PolicyResult,
    PolicyThief,
    Record,
    WatchedThief,
)
from defense.policies import records as measured
from edgecat.directory import RunDirectory
from edgecat.journal import Journal
from edgecat.stages.detect import DetectedThief, DetectionResult
from foundation.progress import SILENT, Progress
from victim.dataset import Dataset


def add_to_report(out: Path, record: Record, dataset: Dataset, progress: Progress = SILENT) -> Path:
    """Append a record in a directory and make its report anew; gives the page's path.

    Raises:
        UsageError: the place cannot be written, or another edgecat works there.
    """
    place = RunDirectory(out)
    journal = Journal(place, progress)
    with place.locked():
        journal.add(record.model_copy(update={"run_id": journal.run_id}))
        return journal.write_report(dataset)


def policy_record(report: measured.PolicyReport) -> PolicyComparison:
    """A comparison of policies as a record."""
    return PolicyComparison(
        run_id="",
        artifact=report.artifact,
        device_kind=report.device_kind,  # type: ignore[arg-type]
        engine=report.engine,
        dataset=report.data,
        pool=report.pool,
        strategy=report.strategy,
        thief_architecture=report.thief,
        budget=report.budget,
        effort=report.effort,
        victim_accuracy=report.victim_accuracy,
        constant_fidelity=report.constant_fidelity,
        results=[_policy(result) for result in report.results],
    )


def detection_record(result: DetectionResult) -> DetectionReport:
    """What detectors said, as a record."""
    return DetectionReport(
        run_id="",
        victim=result.victim,
        answers=result.policy,
        calibration=result.calibration,
        thieves=[_watched(thief) for thief in result.thieves],
        false_alarms=[
            FalseAlarmRate(
                detector=one.detector, length=one.length, alarms=list(one.alarms), rate=one.rate, interval=one.interval
            )
            for one in result.false_alarms
        ],
        left_out=list(result.left_out),
    )


def _policy(result: measured.PolicyResult) -> PolicyResult:
    utility = result.utility
    kept = PolicyThief.model_fields
    return PolicyResult(
        policy=result.policy,
        applied=result.applied,
        keeps_top1=result.keeps_top1,
        refused=utility.refused,
        accuracy=utility.accuracy,
        top1_changed=utility.top1_changed,
        ece=utility.ece,
        brier=utility.brier,
        probability_change=utility.probability_change,
        thieves=[PolicyThief(**{name: getattr(thief, name) for name in kept}) for thief in result.thieves],
    )


def _watched(thief: DetectedThief) -> WatchedThief:
    alarms = [Alarm(detector=one.detector, observed=one.observed, alarm=one.alarm) for one in thief.detections]
    return WatchedThief(pool=thief.pool, strategy=thief.strategy, seed=thief.seed, queries=thief.queries, alarms=alarms)
