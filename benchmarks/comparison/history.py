"""Latency over many runs: a table and a plot, and where it changed from one run to the next."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import numpy as np

from benchmarks.comparison import latency
from benchmarks.comparison.conditions import unlike
from benchmarks.comparison.loading import Run
from benchmarks.comparison.rows import Verdict
from benchmarks.record_set import RecordSet
from benchmarks.records import DeviceKind, Interval, Latency, Record
from benchmarks.schema_base import Model
from foundation.errors import DataError
from foundation.files import write_bytes, write_text


class Point(Model):
    """One artefact in one run.

    Attributes:
        run: its name.
        created: when its first process was measured.
        p50_us: median of the processes' medians, or what another tool told.
        low_us, high_us: the lowest and the highest process.
        processes: how many.
        change: against the point before, a share; None: it is the first, or under unlike conditions.
        interval: 95 %, of `change`.
        verdict: of `compare`; None: not compared.
        reason: why it was not compared or tested.
    """

    run: str
    created: datetime
    p50_us: float
    low_us: float
    high_us: float
    processes: int
    change: float | None = None
    interval: Interval | None = None
    verdict: Verdict | None = None
    reason: str | None = None

    @property
    def changed(self) -> bool:
        """Whether it is a change point."""
        return self.verdict in ("worse", "better")


class Line(Model):
    """One artefact on one device, its points by date."""

    artifact: str
    device: str
    device_kind: DeviceKind
    points: list[Point]


class History(Model):
    """All lines; kinds of device never share a figure."""

    schema_version: int = 1
    lines: list[Line]


def history(runs: Sequence[Run]) -> History:
    """Latency of many runs by date; each is compared with the one before it, as `compare` does.

    Args:
        runs: directories, or record files that grow: what one file holds of several runs is taken apart.

    Raises:
        DataError: no run holds a latency.
    """
    found: dict[tuple[DeviceKind, str, str], list[tuple[str, latency.Series]]] = {}
    for run in (part for whole in runs for part in _apart(whole)):
        for series in latency.series_of(run.held):
            kind = series.records[0].device_kind
            found.setdefault((kind, series.conditions["device"] or kind, series.what), []).append((run.name, series))
    lines = [
        Line(artifact=artifact, device=device, device_kind=kind, points=_points(found[kind, device, artifact]))
        for kind, device, artifact in sorted(found)
    ]
    lines = [line for line in lines if line.points]
    if not lines:
        raise DataError("no run holds a latency", hint="edgecat bench --out, or edgecat run, makes such records")
    return History(lines=lines)


def write(found: History, directory: Path) -> Path:
    """Write `history.md` and, for each kind of device, a figure as SVG and PNG; gives the former."""
    from benchmarks.comparison.history_plot import plot

    pictures = []
    for kind in dict.fromkeys(line.device_kind for line in found.lines):
        drawing = plot([line for line in found.lines if line.device_kind == kind], f"history_{kind}")
        write_text(directory / f"{drawing.name}.svg", drawing.svg)
        write_bytes(directory / f"{drawing.name}.png", drawing.png)
        pictures.append((kind, f"{drawing.name}.svg"))
    page = directory / "history.md"
    write_text(page, _markdown(found, pictures))
    return page


def _apart(run: Run) -> list[Run]:
    """The runs of one record file: a new one begins with another `run_id`, or where a process's number comes again."""
    parts: list[list[Record]] = []
    seen: set[tuple[str, str | None, str, int]] = set()
    others = [record for record in run.held.records if not isinstance(record, Latency)]
    last = None
    for record in (record for record in run.held.records if isinstance(record, Latency)):
        key = (record.artifact, record.artifact_sha256, record.device_kind, record.repeat)
        if record.run_id != last or key in seen:
            parts.append([])
            seen, last = set(), record.run_id
        seen.add(key)
        parts[-1].append(record)
    if len(parts) <= 1:
        return [run]
    return [Run(f"{run.name} ({k})", RecordSet((*others, *part))) for k, part in enumerate(parts, start=1)]


def _points(series: list[tuple[str, latency.Series]]) -> list[Point]:
    dated = sorted(series, key=lambda item: min(record.created for record in item[1].records))
    points: list[Point] = []
    before: latency.Series | None = None
    for name, one in dated:
        # As `compare` takes it, where there are samples.
        medians = [float(np.median(samples)) for samples in one.processes]
        medians = medians or [told for told in (one.told("p50") or one.told("mean"),) if told]
        if not medians:
            continue
        points.append(_point(name, one, medians, before))
        before = one
    return points


def _point(name: str, one: latency.Series, medians: list[float], before: latency.Series | None) -> Point:
    point = Point(
        run=name,
        created=min(record.created for record in one.records),
        p50_us=float(np.median(medians)),
        low_us=min(medians),
        high_us=max(medians),
        processes=len(one.records),
    )
    if before is None:
        return point
    different = unlike(before.conditions, one.conditions)
    row = None if different else latency.row(before, one, [], np.random.default_rng(0))
    if row is None:
        return point.model_copy(update={"reason": f"not compared: {different or 'other numbers told'}"})
    told = {"change": row.change, "interval": row.interval, "verdict": row.verdict, "reason": row.reason}
    return point.model_copy(update=told)


def _markdown(found: History, pictures: Sequence[tuple[str, str]]) -> str:
    from benchmarks.comparison.table import markdown_row, safe

    lines = ["# Latency over time", ""]
    for kind, picture in pictures:
        lines += [f"![p50 by date, {kind}]({picture})", ""]
    for line in found.lines:
        place = line.device if line.device == line.device_kind else f"{line.device} ({line.device_kind})"
        lines += [f"## {safe(line.artifact)} · {safe(place)}", ""]
        lines += [markdown_row(("run", "date", "p50, µs", "processes", "change", "95 %", "verdict"))]
        lines += [markdown_row(("---", "---", "---:", "---:", "---:", "---:", "---"))]
        lines += [markdown_row(_cells(point)) for point in line.points]
        lines += ["", *_reasons(line)]
    lines += ["Each run against the one before it; **worse** and **better** are more than chance."]
    return "\n".join(lines) + "\n"


def _cells(point: Point) -> list[str]:
    from benchmarks.comparison.table import safe

    change = "" if point.change is None else f"{100 * point.change:+.1f} %"
    interval = "" if point.interval is None else " to ".join(f"{100 * end:+.1f}" for end in point.interval)
    verdict = point.verdict or ("not compared" if point.reason else "")
    return [
        safe(point.run),
        f"{point.created:%Y-%m-%d %H:%M}",
        f"{point.p50_us:,.1f}",
        str(point.processes),
        change,
        interval,
        f"**{verdict}**" if point.changed else verdict,
    ]


def _reasons(line: Line) -> list[str]:
    told = dict.fromkeys(point.reason for point in line.points if point.reason)
    return [*(f"- {reason}" for reason in told), ""] if told else []
