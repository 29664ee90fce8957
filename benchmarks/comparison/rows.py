"""What a comparison of two runs says: a row for each artefact (or thief) and metric."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from benchmarks.records import DeviceKind, Interval
from benchmarks.schema_base import Model

Metric = Literal["latency", "accuracy", "fidelity"]
METRICS: tuple[Metric, ...] = ("latency", "accuracy", "fidelity")
Verdict = Literal["worse", "better", "no change", "not tested"]


class Row(Model):
    """One quantity of run A and run B, under like conditions.

    Attributes:
        what: the artefact, the float victim, or the thief.
        device: by its label; of B it is the same, unless `--vary device` let it differ.
        a, b: median latency in microseconds, or a share in [0, 1].
        change: latency: B over A less 1; shares: B less A.
        interval: 95 %, of `change`; None: it cannot be told.
        p_value: of latency Mann-Whitney's, of accuracy McNemar's; None: not tested, or (fidelity) judged by the
            interval.
        effect: of latency: Cliff's delta of all samples.
        units_a, units_b: what stands for independent samples: processes, test images, seeds.
        verdict: `worse` and `better` only where the difference is more than chance (docs/compare.md). Worse is slower,
            less accurate, and for fidelity a victim that is easier to steal.
        reason: why it was not tested.
        notes: what a reader should know of the conditions.
    """

    metric: Metric
    what: str
    device: str
    device_kind: DeviceKind | None
    a: float
    b: float
    change: float
    interval: Interval | None
    p_value: float | None
    effect: float | None
    units_a: int
    units_b: int
    verdict: Verdict
    reason: str | None
    notes: list[str]


class Comparison(Model):
    """Run B against run A.

    Attributes:
        a, b: what the runs are called.
        only_a, only_b: what one of them lacks.
        fail_on: the share that nothing may be worse by.
        failed: what is: metric and name.
    """

    schema_version: int = 1
    a: str
    b: str
    rows: list[Row]
    only_a: list[str]
    only_b: list[str]
    fail_on: float | None = None
    failed: list[str] = Field(default_factory=list)


def judged(comparison: Comparison, fail_on: float) -> Comparison:
    """The comparison with what is significantly worse by more than `fail_on`.

    Latency is judged by its relative change, accuracy and fidelity by the difference of shares: 0.05 is 5 % slower, or
    5 percentage points.
    """
    failed = [
        f"{row.metric} of {row.what}" for row in comparison.rows if row.verdict == "worse" and abs(row.change) > fail_on
    ]
    return comparison.model_copy(update={"fail_on": fail_on, "failed": failed})
