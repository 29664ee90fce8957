"""The report's sections on answer policies and on detection."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import records
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
from benchmarks.report import write_report
from benchmarks.report.defences import detection_section, policies_section, policies_verdict


def thief(learns: str, fidelity: float, seed: int = 0) -> PolicyThief:
    values = {"queries": 4000, "refused": 0, "accuracy": 0.7, "relative_accuracy": 0.8, "predictions": [0, 1]}
    return PolicyThief.model_validate({"learns": learns, "seed": seed, "fidelity": fidelity, **values})


def policy(name: str, labels: float, scores: float | None, accuracy: float = 0.9) -> PolicyResult:
    return PolicyResult(
        policy=name,
        applied="device",
        keeps_top1=name == "scores",
        refused=0.0,
        accuracy=accuracy,
        top1_changed=0.0,
        ece=None if name == "label" else 0.1,
        brier=None if name == "label" else 0.2,
        probability_change=None if name == "label" else 0.0,
        thieves=[thief("labels", labels), *([] if scores is None else [thief("scores", scores)])],
    )


@pytest.fixture
def comparison() -> PolicyComparison:
    return PolicyComparison(
        run_id="r",
        artifact="tflite_int8",
        device_kind="embedded",
        engine="LiteRT",
        dataset="clinic",
        pool="proxy",
        strategy="random",
        thief_architecture="stacked",
        budget=4000,
        effort=1.0,
        victim_accuracy=0.95,
        constant_fidelity=0.3,
        results=[policy("label", 0.8, None), policy("scores", 0.8, 0.9), policy("noise:0.2", 0.6, 0.5, 0.7)],
    )


@pytest.fixture
def detection() -> DetectionReport:
    def watched(seed: int, alarm: int | None) -> WatchedThief:
        alarms = [Alarm(detector="soda", observed=2000, alarm=alarm)]
        return WatchedThief(pool="npd", strategy="random", seed=seed, queries=2000, alarms=alarms)

    return DetectionReport(
        run_id="r",
        victim="0" * 64,
        answers="label",
        calibration={"soda": {"threshold": 1.0}},
        thieves=[watched(0, 8), watched(1, 20), watched(2, None)],
        false_alarms=[FalseAlarmRate(detector="soda", length=200, alarms=[None] * 50, rate=0.0, interval=(0.0, 0.07))],
        left_out=["detector band: too few images"],
    )


def test_a_policy_is_told_with_what_it_costs_and_leaves(comparison: PolicyComparison) -> None:
    section = policies_section([comparison])
    assert section is not None
    [table] = section.blocks
    assert [row[0] for row in table.rows] == ["label", "scores", "noise:0.2"]
    assert [row[-2:] for row in table.rows] == [
        ("80.0\u00a0%", "–"),
        ("80.0\u00a0%", "90.0\u00a0%"),
        ("60.0\u00a0%", "50.0\u00a0%"),
    ]
    [said] = policies_verdict([comparison])
    assert "60.0\u00a0% or more" in said
    assert "noise:0.2" in said


def test_a_detector_that_misses_a_thief_is_told_so(detection: DetectionReport) -> None:
    drawings: list[object] = []
    section = detection_section([detection], drawings)  # type: ignore[arg-type]
    assert section is not None
    assert len(drawings) == 1
    alarms, false = section.blocks[1], section.blocks[2]
    assert alarms.rows[0][-1] == "14 (never for 1 of 3)"
    assert false.rows[0][-1].startswith("0.0\u00a0%")
    assert "Left out: detector band: too few images" in section.paragraphs


def test_defences_alone_make_a_report_that_claims_nothing_of_theft(
    comparison: PolicyComparison, detection: DetectionReport, tmp_path: Path
) -> None:
    page = write_report([comparison, detection], tmp_path).read_text()
    assert "What protects clinic" in page
    assert "No theft was tried" not in page
    for title in ("Answer policies", "Detection", "False alarms"):
        assert title in page


def test_records_of_defences_come_back_from_disk_as_they_were(
    comparison: PolicyComparison, detection: DetectionReport, tmp_path: Path
) -> None:
    made: list[Record] = [comparison, detection]
    for record in made:
        records.append(tmp_path / "results.jsonl", record)
    assert records.read(tmp_path / "results.jsonl") == made


def test_without_records_there_are_no_sections() -> None:
    assert policies_section([]) is None
    assert detection_section([], []) is None
