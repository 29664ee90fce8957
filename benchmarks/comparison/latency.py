"""Latency of two runs: processes of the same artefact under like conditions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.comparison.conditions import Told, of_latency
from benchmarks.comparison.rows import Row, Verdict
from benchmarks.comparison.significance import FEWEST, Change, change_of_medians
from benchmarks.record_set import RecordSet
from benchmarks.records import Latency
from benchmarks.repeats import same_series

_NOTED_DEGREES = 3.0
Regime = tuple[tuple[str, str | None], ...]


@dataclass(frozen=True, eq=False)
class Series:
    """Processes that measured one artefact under the same conditions.

    Attributes:
        what: the artefact.
        conditions: what they have in common.
        records: one for each process.
    """

    what: str
    conditions: Told
    records: Sequence[Latency]

    @property
    def processes(self) -> list[NDArray[np.float64]]:
        """Samples of those that have them, microseconds."""
        return [np.asarray(record.raw_us) for record in self.records if record.raw_us]

    def told(self, number: str) -> float | None:
        """The median over processes of `p50` or `mean`, as samples or the tool tell it; None: some does not tell."""
        values = [_number(record, number) for record in self.records]
        known = [value for value in values if value is not None]
        return float(np.median(known)) if known and len(known) == len(values) else None


def series_of(held: RecordSet) -> list[Series]:
    """The latencies of a run. Of a process that is told of twice (a run that was resumed) the later record counts."""
    groups: dict[tuple[str, Regime], dict[tuple[str, int], Latency]] = {}
    latencies = [record for record in held.records if isinstance(record, Latency)]
    several = _of_several_files(latencies)
    for record in latencies:
        if record.raw_us or record.latency_us or record.reported:
            # Files of one name that were measured in turns are told apart by their content.
            mark = f" #{(record.artifact_sha256 or '')[:8]}" if (record.run_id, record.artifact) in several else ""
            group = groups.setdefault((record.artifact + mark, tuple(of_latency(held, record).items())), {})
            # Measured anew with other minima, or another file under the name: what was before is no repeat of it.
            for key in [key for key, old in group.items() if key[0] == record.run_id and not same_series(old, record)]:
                del group[key]
            group[record.run_id, record.repeat] = record
    return [Series(artifact, dict(regime), list(found.values())) for (artifact, regime), found in groups.items()]


def row(a: Series, b: Series, notes: list[str], generator: np.random.Generator) -> Row | None:
    """B against A; None where they tell nothing of the same kind."""
    notes = [*notes, *_of_versions(a, b), *_of_battery(a, b), *_of_validity("A", a), *_of_validity("B", b)]
    if a.processes and b.processes:
        change = change_of_medians(a.processes, b.processes, generator)
        verdict, reason = _verdict(change, len(a.processes), len(b.processes))
        return _row(a, b, change.medians, change, verdict, reason, notes)
    for number, name in (("p50", "medians"), ("mean", "means")):
        x, y = a.told(number), b.told(number)
        if x and y:
            tools = {record.source or "a record" for side in (a, b) for record in side.records if not record.raw_us}
            reason = f"no samples from {', '.join(sorted(tools))}: {name} are set side by side"
            return _row(a, b, (x, y), None, "not tested", reason, notes)
    return None


def _of_several_files(latencies: Sequence[Latency]) -> set[tuple[str, str]]:
    """Run and artefact of names that stand for several files."""
    files: dict[tuple[str, str], set[str | None]] = {}
    for record in latencies:
        files.setdefault((record.run_id, record.artifact), set()).add(record.artifact_sha256)
    return {key for key, digests in files.items() if len(digests) > 1}


def _number(record: Latency, number: str) -> float | None:
    for summary in (record.latency_us, record.reported):
        value = None if summary is None else getattr(summary, number)
        if value is not None:
            return float(value)
    return None


def _verdict(change: Change, of_a: int, of_b: int) -> tuple[Verdict, str | None]:
    if change.p_value is None:
        return "not tested", (
            f"{of_a} and {of_b} processes: fewer than {FEWEST} cannot tell a change from the luck of a process "
            "(edgecat bench --repeats 10)"
        )
    if not change.significant:
        return "no change", None
    return ("worse" if change.ratio > 1 else "better"), None


def _row(
    a: Series,
    b: Series,
    values: tuple[float, float],
    change: Change | None,
    verdict: Verdict,
    reason: str | None,
    notes: list[str],
) -> Row:
    interval = None if change is None or change.interval is None else change.interval
    names = a.what if a.what == b.what else f"{a.what} / {b.what}"
    kind = a.records[0].device_kind
    return Row(
        metric="latency",
        what=names,
        device=a.conditions["device"] or b.conditions["device"] or kind,
        device_kind=kind,
        a=values[0],
        b=values[1],
        change=values[1] / values[0] - 1,
        interval=None if interval is None else (interval[0] - 1, interval[1] - 1),
        p_value=None if change is None else change.p_value,
        effect=None if change is None else change.effect,
        units_a=len(a.records),
        units_b=len(b.records),
        verdict=verdict,
        reason=reason,
        notes=notes,
    )


def _of_versions(a: Series, b: Series) -> list[str]:
    """Engines of another version, files of another content: what is compared, more often than not."""
    x, y = (sorted({record.engine for record in side.records if record.engine}) for side in (a, b))
    return [f"engine: {', '.join(x)} against {', '.join(y)}"] if x and y and x != y else []


def _of_battery(a: Series, b: Series) -> list[str]:
    """A cable in one of them, or another temperature: neither forbids a comparison, both may explain it."""
    found = []
    states = [[one.conditions for one in side.records if one.conditions is not None] for side in (a, b)]
    plugged = [{state.plugged for state in side if state.plugged is not None} for side in states]
    if all(plugged) and plugged[0] != plugged[1]:
        found.append("plugged in: " + " against ".join("/".join("yes" if x else "no" for x in s) for s in plugged))
    degrees = [[state.battery_c_start for state in side if state.battery_c_start is not None] for side in states]
    if all(degrees):
        x, y = (float(np.median(side)) for side in degrees)
        if abs(x - y) >= _NOTED_DEGREES:
            found.append(f"battery: {x:.1f} °C against {y:.1f} °C")
    return found


def _of_validity(name: str, side: Series) -> list[str]:
    found = []
    for words, flags in (
        ("throttled", [record.validity.throttled for record in side.records]),
        ("drifted", [record.validity.drifted for record in side.records]),
        ("stopped short of its runs", [record.validity.min_runs_met is False for record in side.records]),
        ("stopped short of its seconds", [record.validity.min_seconds_met is False for record in side.records]),
        ("began hotter than its gate", [_hot(record) for record in side.records]),
    ):
        if any(flags):
            found.append(f"{name}: {sum(map(bool, flags))} of {len(flags)} {words}")
    return found


def _hot(record: Latency) -> bool:
    state = record.conditions
    return state is not None and state.gate is not None and state.gate.timed_out
