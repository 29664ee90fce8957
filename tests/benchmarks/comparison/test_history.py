"""Latency over many runs: where it changed is marked, kinds of device stay apart."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from fabricated_records import CREATED, RecordMaker

from benchmarks.comparison import Run
from benchmarks.comparison.history import history, write
from benchmarks.record_set import RecordSet
from benchmarks.records import DeviceKind, Record
from foundation.errors import DataError


def measured(day: int, median_us: float, processes: int = 5, kind: DeviceKind = "embedded") -> list[Record]:
    maker = RecordMaker(images=10, seed=day)
    luck = np.random.default_rng(day).normal(1, 0.005, processes)
    common = {"run_id": f"run-{day}", "created": CREATED + timedelta(days=day)}
    latencies = [maker.latency("tflite_int8", kind, median_us * x) for x in luck]
    found: list[Record] = [maker.device(kind).model_copy(update=common)]
    return found + [
        one.model_copy(update=common | {"repeat": k, "raw_us": one.raw_us[:200], "raw_kept": 200})
        for k, one in enumerate(latencies)
    ]


def as_run(name: str, records: list[Record]) -> Run:
    return Run(name, RecordSet(tuple(records)))


def test_a_change_is_marked_at_the_run_that_brought_it() -> None:
    days = [as_run(f"day {day}", measured(day, us)) for day, us in enumerate((600, 602, 680, 679))]
    (line,) = history(days).lines
    assert [point.run for point in line.points] == ["day 0", "day 1", "day 2", "day 3"]
    assert [point.changed for point in line.points] == [False, False, True, False]
    assert line.points[2].verdict == "worse"
    assert line.points[2].change == pytest.approx(0.13, abs=0.03)


def test_runs_stand_by_date_whatever_the_order_they_are_given_in() -> None:
    (line,) = history([as_run("new", measured(5, 600)), as_run("old", measured(1, 600))]).lines
    assert [point.run for point in line.points] == ["old", "new"]


def test_a_growing_file_is_taken_apart_into_its_runs() -> None:
    grown = [record for day, us in enumerate((600, 700)) for record in measured(day, us)]
    # The same run_id again, as from a tool that knows no other: its processes' numbers begin anew.
    twice = [record.model_copy(update={"run_id": "run-1"}) for record in measured(2, 700)]
    (line,) = history([as_run("all.jsonl", [*grown, *twice])]).lines
    assert [(point.run, point.processes) for point in line.points] == [
        ("all.jsonl (1)", 5),
        ("all.jsonl (2)", 5),
        ("all.jsonl (3)", 5),
    ]
    assert [point.changed for point in line.points] == [False, True, False]


def test_unlike_conditions_break_the_line_and_single_processes_are_not_judged() -> None:
    rapid = [r.model_copy(update={"tier": "rapid"}) if r.kind == "latency" else r for r in measured(2, 600)]
    normal = [r.model_copy(update={"tier": "normal"}) if r.kind == "latency" else r for r in measured(1, 600)]
    one = [r.model_copy(update={"tier": "rapid"}) if r.kind == "latency" else r for r in measured(3, 900, 1)]
    (line,) = history([as_run(str(k), records) for k, records in enumerate((normal, rapid, one))]).lines
    assert [point.verdict for point in line.points] == [None, None, "not tested"]
    assert line.points[1].reason is not None
    assert "tier normal against rapid" in line.points[1].reason


def test_the_page_has_a_figure_for_each_kind_of_device(tmp_path: Path) -> None:
    days = [as_run(f"day {day}", measured(day, us)) for day, us in enumerate((600, 680))]
    phone = [as_run("phone", measured(1, 2000, kind="physical"))]
    found = history(days + phone)
    page = write(found, tmp_path / "out")
    assert sorted(path.name for path in page.parent.iterdir()) == [
        "history.md",
        "history_embedded.png",
        "history_embedded.svg",
        "history_physical.png",
        "history_physical.svg",
    ]
    text = page.read_text()
    assert "**worse**" in text
    assert "history_physical.svg" in text
    (point,) = [p for p in found.lines[0].points if p.changed]
    assert f"+{100 * (point.change or 0):.0f} %" in (page.parent / "history_embedded.svg").read_text()


def test_records_without_latency_have_no_history(maker: RecordMaker) -> None:
    with pytest.raises(DataError, match="no run holds a latency"):
        history([as_run("empty", [maker.device()])])
