"""One document from the records of a run: what `edgecat run --json` prints and what the report shows.

Attacks are aggregated over seeds. Nothing is measured here: every number is derived from the records, and fidelity is
counted again from the predictions they hold.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from benchmarks.record_set import AttackKey, RecordSet
from benchmarks.records import (
    ArtifactRecord,
    Attack,
    DeviceKind,
    Distribution,
    Interval,
    Memory,
    Parity,
    Record,
    Validity,
    Victim,
)
from benchmarks.statistics import agreement_interval
from foundation.manifest import Precision, Runtime


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True)


class VictimSummary(_Part):
    """The float victim on the test split.

    Attributes:
        images: test images.
        chance: accuracy of naming a class by lot: 1 / classes.
        most_frequent: accuracy of always naming the test split's most frequent class; needs no model and no query.
    """

    architecture: str
    parameters: int
    sha256: str
    dataset: str
    images: int
    accuracy: float
    accuracy_ci: Interval
    macro_f1: float
    chance: float
    most_frequent: float
    seconds_train: float


class ArtifactSummary(_Part):
    """An exported model and, if it was run, what it did on one device. Null: not measured."""

    name: str
    runtime: Runtime
    precision: Precision
    recipe: str
    bytes: int
    sha256: str
    parity: Parity
    device: str | None = None
    device_kind: DeviceKind | None = None
    engine: str | None = None
    accuracy_on_device: float | None = None
    accuracy_on_device_ci: Interval | None = None
    labels_compared: int | None = None
    labels_equal: int | None = None
    latency_us: Distribution | None = None
    load_ms: float | None = None
    first_us: float | None = None
    memory: Memory | None = None
    validity: Validity | None = None


class AttackSummary(_Part):
    """Thieves that differ in their seed only: means over the seeds.

    Attributes:
        seeds: which seeds.
        queries: mean over the seeds, like every number below.
        fidelity_ci: over seeds and test images; see `benchmarks.statistics.agreement_interval`.
        accuracy_ci: likewise, for the thief's accuracy; None where no victim record tells the labels.
        most_frequent: agreement of always naming the reference's most frequent answer.
    """

    artifact: str
    device: str
    device_kind: DeviceKind
    pool: str
    strategy: str
    answers: str
    thief_architecture: str
    budget: int
    seeds: list[int]
    queries: int | float
    device_queries: int | float
    accuracy: float
    accuracy_ci: Interval | None
    fidelity: float
    fidelity_ci: Interval
    correct_fidelity: float
    relative_accuracy: float
    macro_f1_ratio: float
    most_frequent: float
    seconds_query: float
    seconds_train: float
    device_seconds: float | None


class Summary(_Part):
    """The whole run."""

    schema_version: int = 1
    report: str | None
    quick: bool
    victim: VictimSummary | None
    artifacts: list[ArtifactSummary]
    attacks: list[AttackSummary]


def summarise(records: Iterable[Record], report: Path | None = None) -> Summary:
    """Derive the document of a run from its records. The same records give the same document.

    Args:
        records: of one run or of several that belong together.
        report: where the report was written, if it was.

    Raises:
        DataError: the records contradict each other.
    """
    held = RecordSet(tuple(records))
    return Summary(
        report=None if report is None else str(report),
        quick=held.context is not None and held.context.quick,
        victim=None if held.victim is None else _victim(held.victim),
        artifacts=[part for artifact in held.artifacts.values() for part in _artifact(held, artifact)],
        attacks=[_attack(held, key, attacks) for key, attacks in held.attacks.items()],
    )


def _victim(victim: Victim) -> VictimSummary:
    return VictimSummary(
        architecture=victim.architecture,
        parameters=victim.parameters,
        sha256=victim.sha256,
        dataset=victim.dataset.name,
        images=len(victim.labels),
        accuracy=victim.accuracy,
        accuracy_ci=victim.accuracy_ci,
        macro_f1=victim.macro_f1,
        chance=1 / len(victim.dataset.class_names),
        most_frequent=_most_frequent(np.asarray(victim.labels, np.int64)),
        seconds_train=victim.seconds_train,
    )


def _artifact(held: RecordSet, artifact: ArtifactRecord) -> list[ArtifactSummary]:
    """One summary for each device that the artefact ran on, or one without a device."""
    exported = ArtifactSummary(
        name=artifact.name,
        runtime=artifact.runtime,
        precision=artifact.precision,
        recipe=artifact.recipe,
        bytes=artifact.bytes,
        sha256=artifact.sha256,
        parity=artifact.parity,
    )
    places = dict.fromkeys(key[:2] for key in (*held.accuracies, *held.latencies) if key[2] == artifact.name)
    return [_on_device(held, exported, device, kind) for device, kind in places] or [exported]


def _on_device(held: RecordSet, exported: ArtifactSummary, device: str, kind: DeviceKind) -> ArtifactSummary:
    accuracy = held.accuracies.get((device, kind, exported.name))
    latency = held.latencies.get((device, kind, exported.name))
    measured: dict[str, object] = {"device": device, "device_kind": kind}
    if accuracy is not None:
        measured |= {
            "engine": accuracy.engine,
            "accuracy_on_device": accuracy.accuracy,
            "accuracy_on_device_ci": accuracy.accuracy_ci,
            "labels_compared": accuracy.labels_compared,
            "labels_equal": accuracy.labels_equal,
        }
    if latency is not None:
        kept = ("engine", "latency_us", "load_ms", "first_us", "memory", "validity")
        measured |= {name: getattr(latency, name) for name in kept}
    return exported.model_copy(update=measured)


def _attack(held: RecordSet, key: AttackKey, attacks: list[Attack]) -> AttackSummary:
    def mean(value: Callable[[Attack], float]) -> float:
        return float(np.mean([value(attack) for attack in attacks]))

    def mean_count(value: Callable[[Attack], int]) -> int | float:
        return int(mean(value)) if mean(value).is_integer() else mean(value)

    hits = held.hits(key)
    counted = [attack.device_seconds for attack in attacks if attack.device_seconds is not None]
    return AttackSummary(
        **key._asdict(),
        seeds=[attack.seed for attack in attacks],
        queries=mean_count(lambda a: a.queries),
        device_queries=mean_count(lambda a: a.device_queries),
        accuracy=mean(lambda a: a.accuracy),
        accuracy_ci=_accuracy_interval(held, attacks),
        fidelity=mean(lambda a: a.fidelity),
        # A generator of its own for each aggregate: its interval does not depend on what else was measured.
        fidelity_ci=agreement_interval(hits, np.random.default_rng(0)),
        correct_fidelity=mean(lambda a: a.correct_fidelity),
        relative_accuracy=mean(lambda a: a.relative_accuracy),
        macro_f1_ratio=mean(lambda a: a.macro_f1_ratio),
        most_frequent=_most_frequent(held.reference(attacks[0], key)),
        seconds_query=mean(lambda a: a.seconds_query),
        seconds_train=mean(lambda a: a.seconds_train),
        device_seconds=float(np.mean(counted)) if len(counted) == len(attacks) else None,
    )


def _accuracy_interval(held: RecordSet, attacks: list[Attack]) -> Interval | None:
    if held.victim is None or any(len(a.thief_predictions) != len(held.victim.labels) for a in attacks):
        return None
    labels = np.asarray(held.victim.labels, np.int64)
    return agreement_interval(
        [np.asarray(a.thief_predictions, np.int64) == labels for a in attacks], np.random.default_rng(0)
    )


def _most_frequent(answers: NDArray[np.int64]) -> float:
    return float(np.unique_counts(answers).counts.max() / len(answers)) if len(answers) else 0.0
