"""The report's CSV files: every number that was measured, unrounded, under its own name."""

from __future__ import annotations

import csv
from io import StringIO

import pytest
from fabricated_records import RecordMaker, whole_run

from benchmarks.record_set import RecordSet
from benchmarks.records import Record
from benchmarks.report.csv_files import csv_files
from benchmarks.summary import summarise


def read(records: list[Record]) -> dict[str, list[dict[str, str]]]:
    held = RecordSet(records)
    files = csv_files(held, summarise(held.records))
    return {name: list(csv.DictReader(StringIO(content))) for name, content in files.items()}


def test_each_artifact_theft_class_and_sample_has_a_row(maker: RecordMaker) -> None:
    records = [*whole_run(maker), maker.gain("tflite_int8")]
    files, summary = read(records), summarise(records)
    assert [row["name"] for row in files["artifacts"]] == [a.name for a in summary.artifacts]
    first, told = summary.artifacts[0], files["artifacts"][0]
    assert first.latency_us is not None
    assert float(told["latency_us.p50"]) == first.latency_us.p50
    assert float(told["parity.agreement"]) == first.parity.agreement
    assert len(files["thefts"]) == len(summary.attacks)
    assert float(files["thefts"][0]["fidelity"]) == summary.attacks[0].fidelity
    assert float(files["thefts"][0]["fidelity_ci.low"]) == pytest.approx(summary.attacks[0].fidelity_ci[0])
    assert files["thefts"][0]["seeds"] == "0 1 2"
    assert len(files["thefts_by_class"]) == sum(len(a.class_fidelity) for a in summary.attacks)
    assert [float(row["epsilon"]) for row in files["transfer"]] == [2.0, 4.0, 8.0]
    kept = sum(record.raw_kept for record in records if record.kind == "latency")
    assert len(files["latency_samples"]) == kept


def test_what_was_not_measured_is_empty_and_kinds_without_results_have_no_file(maker: RecordMaker) -> None:
    files = read([maker.context(), maker.victim(), maker.artifact("tflite", "fp32")])
    assert set(files) == {"artifacts"}
    assert files["artifacts"][0]["accuracy_on_device"] == ""
