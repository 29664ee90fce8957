"""What another tool told stands beside our numbers in the report, and never in their place."""

from __future__ import annotations

from pathlib import Path

from fabricated_records import RecordMaker, whole_run

from benchmarks.importers.told import Origin, Told, as_records
from benchmarks.record_set import RecordSet
from benchmarks.records import Record, Reported
from benchmarks.report import write_report
from benchmarks.report.others import others_sections
from benchmarks.summary import summarise


def test_an_imported_latency_does_not_replace_ours_and_is_shown_beside_it(maker: RecordMaker, tmp_path: Path) -> None:
    ours: list[Record] = [maker.device(), maker.artifact(), maker.latency("tflite_int8")]
    told = [Told("benchmark_model", "tflite_int8", reported=Reported(count=50, mean=712.0, p50=711.0, max=900.0))]
    theirs = as_records(told, "content", Origin("embedded", "embedded"), tmp_path)
    records = [*ours, *theirs]
    assert summarise(records).artifacts == summarise(ours).artifacts
    (section,) = others_sections(RecordSet(records), summarise(records))
    (table,) = section.blocks
    assert table.kind == "table"
    by_tool = {row[2]: row for row in table.rows}
    assert list(by_tool) == ["edgecat", "benchmark_model"]
    assert list(by_tool["benchmark_model"][3:]) == ["0.712", "0.711", "–", "–", "0.900", "50"]
    page = write_report(records, tmp_path / "out")
    assert "Beside other tools" in page.read_text()


def test_a_run_of_ours_alone_has_no_such_section(maker: RecordMaker) -> None:
    records = whole_run(maker)
    assert others_sections(RecordSet(records), summarise(records)) == []
