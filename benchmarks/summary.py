"""One document from the records of a run: what `edgecat run --json` prints and what the report shows.

Attacks are aggregated over seeds. Nothing is measured here: every number is derived from the records, and fidelity is
counted again from the predictions they hold.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from benchmarks.record_set import RecordSet
from benchmarks.records import (
    ArtifactRecord,
    DeviceKind,
    Distribution,
    Interval,
    Memory,
    Parity,
    Record,
    Validity,
    Victim,
)
from benchmarks.repeats import spread
from benchmarks.summary_theft import (
    AttackSummary,
    ClassFidelity,
    GainSummary,
    Part,
    TransferSummary,
    most_frequent,
    summarise_attack,
    summarise_gain,
)
from foundation.manifest import Precision, Runtime

__all__ = [
    "ArtifactSummary",
    "AttackSummary",
    "ClassFidelity",
    "GainSummary",
    "Summary",
    "TransferSummary",
    "VictimSummary",
    "summarise",
]


class VictimSummary(Part):
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


class ArtifactSummary(Part):
    """An exported model and, if it was run, what it did on one device. Null: not measured.

    Attributes:
        latency_repeats: processes that measured latency; `latency_us` holds medians over them (`benchmarks.repeats`).
        latency_spread: how far their medians are apart, as a share; null for fewer than two.
        images_per_second: through the query channel.
    """

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
    latency_repeats: int = 0
    latency_spread: float | None = None
    images_per_second: float | None = None


class Summary(Part):
    """The whole run. `report` is the page's path, where there is one."""

    schema_version: int = 1
    report: str | None = None
    quick: bool
    victim: VictimSummary | None
    artifacts: list[ArtifactSummary]
    attacks: list[AttackSummary]
    gains: list[GainSummary]

    def reported(self, page: Path) -> Summary:
        """The same with the place of its report."""
        return self.model_copy(update={"report": str(page)})


def summarise(records: Iterable[Record]) -> Summary:
    """Derive the document of a run from its records. The same records give the same document.

    Args:
        records: of one run or of several that belong together.

    Raises:
        DataError: the records contradict each other.
    """
    held = RecordSet(tuple(records))
    return Summary(
        quick=held.context is not None and held.context.quick,
        victim=None if held.victim is None else _victim(held.victim),
        artifacts=[part for artifact in held.artifacts.values() for part in _artifact(held, artifact)],
        attacks=[summarise_attack(held, key, attacks) for key, attacks in held.attacks.items()],
        gains=[summarise_gain(key, gains) for key, gains in held.gains.items()],
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
        most_frequent=most_frequent(np.asarray(victim.labels, np.int64)),
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
    places = dict.fromkeys(
        key[:2] for key in (*held.accuracies, *held.latencies, *held.throughputs) if key[2] == artifact.name
    )
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
        repeats = held.latency_repeats[device, kind, exported.name]
        measured |= {"latency_repeats": len(repeats), "latency_spread": spread(repeats)}
    throughput = held.throughputs.get((device, kind, exported.name))
    if throughput is not None:
        measured["images_per_second"] = throughput.images_per_second
    return exported.model_copy(update=measured)
