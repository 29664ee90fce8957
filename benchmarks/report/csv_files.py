"""The report's numbers as CSV, unrounded: a file for each kind of result, a row for each thing measured.

Names of columns are those of the records and of `edgecat report --json`; a part of a part is joined by a dot
(`latency_us.p50`), an interval has `.low` and `.high`. What was not measured is empty. Shares are in [0, 1].
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from io import StringIO
from statistics import mean
from typing import Any

from benchmarks.record_set import RecordSet
from benchmarks.summary import Summary

Row = dict[str, Any]


def csv_files(held: RecordSet, summary: Summary) -> dict[str, str]:
    """Content by the file's name without suffix; kinds of which nothing was measured have no file."""
    rows = {
        "artifacts": [_flat(a.model_dump(mode="json")) for a in summary.artifacts],
        "latency_samples": list(_samples(held)),
        "thefts": [_flat(a.model_dump(mode="json", exclude={"class_fidelity"})) for a in summary.attacks],
        "thefts_by_class": list(_by_class(summary)),
        "transfer": list(_transfer(summary)),
        "policies": list(_policies(held)),
        "inversions": list(_inversions(held)),
        "alarms": list(_alarms(held)),
    }
    return {name: _written(found) for name, found in rows.items() if found}


def _samples(held: RecordSet) -> Iterable[Row]:
    """Every latency sample that is kept, in the order measured."""
    for record in held.records:
        if record.kind == "latency":
            own = {"artifact": record.artifact, "device_kind": record.device_kind, "repeat": record.repeat}
            for number, microseconds in enumerate(record.raw_us):
                yield {**own, "sample": number, "microseconds": microseconds}


def _by_class(summary: Summary) -> Iterable[Row]:
    for attack in summary.attacks:
        for part in attack.class_fidelity:
            yield {**attack.key._asdict(), **_flat(part.model_dump(mode="json"))}


def _transfer(summary: Summary) -> Iterable[Row]:
    for gain in summary.gains:
        for point in gain.transfer:
            yield {**gain.key._asdict(), **_flat(point.model_dump(mode="json"))}


def _policies(held: RecordSet) -> Iterable[Row]:
    """A row for each thief of each policy."""
    for record in held.policy_comparisons:
        own = {"artifact": record.artifact, "dataset": record.dataset, "pool": record.pool, "strategy": record.strategy}
        for result in record.results:
            cost = result.model_dump(mode="json", exclude={"thieves"})
            for thief in result.thieves:
                told = thief.model_dump(mode="json", exclude={"predictions"})
                yield {**own, **cost, **{f"thief.{name}": value for name, value in told.items()}}


def _inversions(held: RecordSet) -> Iterable[Row]:
    """A row for each attack on each split network: means over the victims."""
    for record in held.split_evaluations:
        own = {"dataset": record.dataset, "protection": record.protection, "depth": record.depth, "seed": record.seed}
        for one in record.inversions:
            ssim = [value for value in one.ssim if value is not None]
            yield {
                **own,
                "attack": one.attack,
                "victims": len(one.mse),
                "mse": mean(one.mse),
                "psnr": mean(one.psnr),
                "ssim": mean(ssim) if ssim else None,
                "seconds": one.seconds,
            }


def _alarms(held: RecordSet) -> Iterable[Row]:
    for record in held.detections:
        for thief in record.thieves:
            own = {"victim": record.victim, **thief.model_dump(mode="json", exclude={"alarms"})}
            for alarm in thief.alarms:
                yield {**own, **alarm.model_dump(mode="json")}


def _flat(document: Mapping[str, Any], prefix: str = "") -> Row:
    """Parts of parts as columns of their own; pairs of numbers are intervals, other lists are joined by spaces."""
    row: Row = {}
    for name, value in document.items():
        if isinstance(value, dict):
            row |= _flat(value, f"{prefix}{name}.")
        elif isinstance(value, list) and name.endswith(("_ci", "_range")):
            row |= {f"{prefix}{name}.low": value[0], f"{prefix}{name}.high": value[1]}
        else:
            row[prefix + name] = " ".join(map(str, value)) if isinstance(value, list) else value
    return row


def _written(rows: list[Row]) -> str:
    stream = StringIO()
    columns = list(dict.fromkeys(name for row in rows for name in row))
    writer = csv.DictWriter(stream, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()
