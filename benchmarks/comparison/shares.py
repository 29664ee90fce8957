"""Accuracy and fidelity of two runs, image by image: both sides judged the same test images."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.comparison.conditions import KIND, SPLIT, Told, of_attack, of_place
from benchmarks.comparison.rows import Metric, Row, Verdict
from benchmarks.comparison.significance import ALPHA, mcnemar
from benchmarks.record_set import AttackKey, RecordSet
from benchmarks.records import AccuracyOnDevice, DeviceKind, Interval
from benchmarks.statistics import difference_interval

# As many as make a thief's mean worth telling; fewer say nothing of the luck of a seed.
FEWEST_SEEDS = 3


@dataclass(frozen=True, eq=False)
class Judged:
    """Rights and wrongs on the test images.

    Attributes:
        what: the artefact, or the thief.
        conditions: under which it was measured.
        kind: of the device; None: the float victim, in process.
        share: what the record says.
        images: how many test images.
        hits: of each seed (accuracy: of one answer) whether it was right on each image, bool [images]; empty: the
            records do not tell.
    """

    what: str
    conditions: Told
    kind: DeviceKind | None
    share: float
    images: int
    hits: dict[int, NDArray[np.bool_]]


def accuracies_of(held: RecordSet, victim_too: bool = True) -> list[Judged]:
    """The float victim, if it is wanted, and every artefact that answered on a device."""
    found, victim = [], held.victim
    labels = None if victim is None else np.asarray(victim.labels, np.int64)
    if victim_too and victim is not None and labels is not None:
        hits = labels == np.asarray(victim.predictions, np.int64)
        split = {SPLIT: split_of(held)}
        found.append(Judged("float victim", split, None, victim.accuracy, len(labels), {0: hits}))
    for record in held.accuracies.values():
        # Which computer its device runs on changes no answer.
        conditions = of_place(held, record) | {"host": None, "computer": None, SPLIT: split_of(held)}
        found.append(
            Judged(
                record.artifact,
                conditions,
                record.device_kind,
                record.accuracy,
                record.images,
                _hits(record, labels),
            )
        )
    return found


def fidelities_of(held: RecordSet) -> list[Judged]:
    """Every thief, all its seeds together."""
    return [
        Judged(
            _thief(key),
            {KIND: key.device_kind, "device": key.device, SPLIT: split_of(held)} | of_attack(held, attacks[0]),
            key.device_kind,
            float(np.mean([attack.fidelity for attack in attacks])),
            len(attacks[0].thief_predictions),
            {attack.seed: hits for attack, hits in zip(attacks, held.hits(key), strict=True)},
        )
        for key, attacks in held.attacks.items()
    ]


def accuracy_row(a: Judged, b: Judged, notes: list[str], generator: np.random.Generator) -> Row:
    """B's accuracy against A's: exact McNemar test, and a paired bootstrap interval of the difference."""
    if not a.hits or not b.hits:
        return _row("accuracy", a, b, (a.share, b.share), None, None, "not tested", "no labels on record", notes)
    (of_a,), (of_b,) = a.hits.values(), b.hits.values()
    values = float(of_a.mean()), float(of_b.mean())
    p_value = mcnemar(of_a, of_b)
    verdict = _verdict(values[1] - values[0], p_value <= ALPHA, higher_is_worse=False)
    interval = difference_interval([of_b], [of_a], generator)
    return _row("accuracy", a, b, values, interval, p_value, verdict, None, notes)


def fidelity_row(a: Judged, b: Judged, notes: list[str], generator: np.random.Generator) -> Row:
    """B's fidelity against A's, paired by seed and image: the interval of the difference judges."""
    seeds = sorted(a.hits.keys() & b.hits.keys())
    if not seeds:
        reason = "no seed in common"
        return _row("fidelity", a, b, (a.share, b.share), None, None, "not tested", reason, notes)
    of_a, of_b = [a.hits[seed] for seed in seeds], [b.hits[seed] for seed in seeds]
    values = float(np.mean(of_a)), float(np.mean(of_b))
    interval = difference_interval(of_b, of_a, generator)
    if len(seeds) != len(a.hits) or len(seeds) != len(b.hits):
        notes = [*notes, f"{len(seeds)} seeds in common, of {len(a.hits)} and {len(b.hits)}"]
    if len(seeds) < FEWEST_SEEDS:
        reason = f"{len(seeds)} seeds: fewer than {FEWEST_SEEDS} cannot tell a change from the luck of a seed"
        return _row("fidelity", a, b, values, interval, None, "not tested", reason, notes)
    clear = not interval[0] <= 0 <= interval[1]
    verdict = _verdict(values[1] - values[0], clear, higher_is_worse=True)
    return _row("fidelity", a, b, values, interval, None, verdict, None, notes)


def split_of(held: RecordSet) -> str | None:
    """The test split, by number of images and a hash of its labels; None: no victim on record."""
    if held.victim is None:
        return None
    content = held.victim.dataset.sha256 + str(held.victim.labels)
    return f"{len(held.victim.labels)} images #{hashlib.sha256(content.encode()).hexdigest()[:8]}"


def _hits(record: AccuracyOnDevice, labels: NDArray[np.int64] | None) -> dict[int, NDArray[np.bool_]]:
    if labels is None or len(labels) != len(record.predictions):
        return {}
    return {0: labels == np.asarray(record.predictions, np.int64)}


def _thief(key: AttackKey) -> str:
    words: Sequence[str] = (key.pool, key.strategy, f"{key.budget:,} queries", f"answers {key.answers}")
    learner = [] if key.learner == "supervised" else [key.learner]
    return f"{key.artifact}: {', '.join([*words, key.thief_architecture, *learner])}"


def _verdict(change: float, significant: bool, *, higher_is_worse: bool) -> Verdict:
    if not significant or change == 0:
        return "no change"
    return "worse" if (change > 0) == higher_is_worse else "better"


def _row(
    metric: Metric,
    a: Judged,
    b: Judged,
    values: tuple[float, float],
    interval: Interval | None,
    p_value: float | None,
    verdict: Verdict,
    reason: str | None,
    notes: list[str],
) -> Row:
    return Row(
        metric=metric,
        what=a.what,
        device=a.conditions.get("device") or a.kind or "in process",
        device_kind=a.kind,
        a=values[0],
        b=values[1],
        change=values[1] - values[0],
        interval=interval,
        p_value=p_value,
        effect=None,
        units_a=len(a.hits) if metric == "fidelity" else a.images,
        units_b=len(b.hits) if metric == "fidelity" else b.images,
        verdict=verdict,
        reason=reason,
        notes=notes,
    )
