"""Latency as other tools told it, in one table with ours."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from benchmarks.record_set import RecordSet
from benchmarks.records import DeviceKind, Distribution, Latency, Reported
from benchmarks.report.content import Section, Table
from benchmarks.report.words import NOT_MEASURED, number
from benchmarks.summary import ArtifactSummary, Summary

_HEAD = ("artefact", "device", "measured by", "mean, ms", "p50, ms", "p90, ms", "min, ms", "max, ms", "runs")


def others_sections(held: RecordSet, summary: Summary) -> list[Section]:
    """A table for each kind of device that another tool measured on; none where no record came from one."""
    kinds = dict.fromkeys(record.device_kind for record in held.imported)
    tables = [_table(held, summary.artifacts, kind) for kind in kinds]
    if not tables:
        return []
    words = (
        "Each tool's numbers are by its own definitions, and under conditions that it did not tell: which is faster "
        "this table cannot say."
    )
    return [Section("others", "Beside other tools", (words,), tables)]


def _table(held: RecordSet, artifacts: Sequence[ArtifactSummary], kind: DeviceKind) -> Table:
    rows = [
        (a.name, a.device or kind, "edgecat", *_numbers(a.latency_us))
        for a in artifacts
        if a.device_kind == kind and a.latency_us is not None
    ]
    for record in held.imported:
        if record.device_kind == kind:
            told = record.latency_us or record.reported
            rows.append((record.artifact, _device(held, record), record.source or NOT_MEASURED, *_numbers(told)))
    return Table(f"Latency of one inference on {kind} devices, by tool", _HEAD, rows, frozenset(range(3, 9)))


def _numbers(told: Distribution | Reported | None) -> Iterator[str]:
    for name in ("mean", "p50", "p90", "min", "max"):
        value = getattr(told, name, None)
        yield NOT_MEASURED if value is None else number(value / 1000)
    count = getattr(told, "count", None)
    yield NOT_MEASURED if count is None else f"{count:,}"


def _device(held: RecordSet, record: Latency) -> str:
    return held.device_of(record)[0]
