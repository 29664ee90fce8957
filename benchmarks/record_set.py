"""The records of a run, indexed: by artefact, by device, and thieves by what their seeds have in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from benchmarks.records import (
    AccuracyOnDevice,
    ArtifactRecord,
    Attack,
    Context,
    DetectionReport,
    Device,
    DeviceKind,
    Gain,
    Latency,
    LayerProfile,
    PolicyComparison,
    Record,
    SplitEvaluation,
    Throughput,
    Victim,
)
from benchmarks.repeats import pooled, same_series
from foundation.errors import DataError

_T = TypeVar("_T", bound=Record)
_Thief = TypeVar("_Thief", Attack, Gain)


class AttackKey(NamedTuple):
    """What thieves of one aggregate have in common."""

    device: str
    device_kind: DeviceKind
    artifact: str
    pool: str
    strategy: str
    learner: str
    answers: str
    thief_architecture: str
    budget: int


@dataclass(frozen=True)
class RecordSet:
    """Records, indexed. Where two records tell the same thing (a run that was resumed), the later one counts."""

    records: Sequence[Record]

    @cached_property
    def context(self) -> Context | None:
        """The latest context."""
        return _last(self._of(Context))

    @cached_property
    def victim(self) -> Victim | None:
        """The latest victim."""
        return _last(self._of(Victim))

    @cached_property
    def artifacts(self) -> dict[str, ArtifactRecord]:
        """Exported models by name."""
        return {record.name: record for record in self._of(ArtifactRecord)}

    @cached_property
    def devices(self) -> dict[tuple[str, DeviceKind], Device]:
        """Devices by label and kind."""
        return {(device_label(record), record.device_kind): record for record in self._of(Device)}

    @cached_property
    def accuracies(self) -> dict[tuple[str, DeviceKind, str], AccuracyOnDevice]:
        """Answers on the test split by device, kind and artefact."""
        return {(*self.device_of(r), r.artifact): r for r in self._of(AccuracyOnDevice)}

    @cached_property
    def latency_repeats(self) -> dict[tuple[str, DeviceKind, str], list[Latency]]:
        """Our latest measurement's repeats by device, kind and artefact, each list ordered by repeat.

        Two builds of one name that were measured in turns are two measurements: the one that ended last counts.
        """
        found: dict[tuple[str, DeviceKind, str], list[dict[int, Latency]]] = {}
        for r in (record for record in self._of(Latency) if record.source is None):
            key = (*self.device_of(r), r.artifact)
            series = found.get(key, [])
            own = next((one for one in series if same_series(r, next(iter(one.values())))), {})
            own[r.repeat] = r
            found[key] = [*(one for one in series if one is not own), own]
        return {key: [series[-1][repeat] for repeat in sorted(series[-1])] for key, series in found.items()}

    @cached_property
    def imported(self) -> list[Latency]:
        """Latencies that other tools measured (`benchmarks.importers`)."""
        return [record for record in self._of(Latency) if record.source is not None]

    @cached_property
    def latencies(self) -> dict[tuple[str, DeviceKind, str], Latency]:
        """Latencies by device, kind and artefact; several repeats pooled (`benchmarks.repeats`)."""
        return {key: pooled(repeats) for key, repeats in self.latency_repeats.items()}

    @cached_property
    def throughputs(self) -> dict[tuple[str, DeviceKind, str], Throughput]:
        """Throughputs by device, kind and artefact."""
        return {(*self.device_of(r), r.artifact): r for r in self._of(Throughput)}

    @cached_property
    def profiles(self) -> dict[tuple[str, DeviceKind, str], LayerProfile]:
        """Profiles by device, kind and artefact."""
        return {(*self.device_of(r), r.artifact): r for r in self._of(LayerProfile)}

    @cached_property
    def attacks(self) -> dict[AttackKey, list[Attack]]:
        """Thieves by what their seeds have in common, each list ordered by seed."""
        return self._by_key(Attack)

    @cached_property
    def gains(self) -> dict[AttackKey, list[Gain]]:
        """What thieves gain beyond labels, keyed and ordered as `attacks` is."""
        return self._by_key(Gain)

    @cached_property
    def split_evaluations(self) -> list[SplitEvaluation]:
        """Split networks, in the order of their first evaluation."""
        found = self._of(SplitEvaluation)
        return list({(r.dataset_sha256, r.protection, r.depth, r.smashed, r.seed): r for r in found}.values())

    @cached_property
    def policy_comparisons(self) -> list[PolicyComparison]:
        """Answer policies, the latest comparison of each artefact, pool and budget."""
        found = self._of(PolicyComparison)
        return list({(r.artifact, r.device_kind, r.pool, r.strategy, r.budget): r for r in found}.values())

    @cached_property
    def detections(self) -> list[DetectionReport]:
        """Detectors' words on thieves, the latest of each victim and policy."""
        return list({(r.victim, r.answers): r for r in self._of(DetectionReport)}.values())

    def device_of(
        self, record: AccuracyOnDevice | Latency | Throughput | LayerProfile | Attack | Gain
    ) -> tuple[str, DeviceKind]:
        """Label and kind of the device that a record was made on: the device record of its run."""
        alike = [device for device in self._of(Device) if device.device_kind == record.device_kind]
        own = [device for device in alike if device.run_id == record.run_id]
        if own or len({device_label(device) for device in alike}) == 1:
            return device_label((own or alike)[-1]), record.device_kind
        return record.device_kind, record.device_kind

    @cached_property
    def class_names(self) -> list[str]:
        """The victim's classes; numbered where no victim is on record (`edgecat attack` of somebody's file)."""
        if self.victim is not None:
            return self.victim.dataset.class_names
        named = [answer for r in self._of(AccuracyOnDevice) for answer in r.predictions]
        counted = [len(r.answer_histogram) for r in self._of(Attack)]
        return [f"class {k}" for k in range(max([0, *counted, *(answer + 1 for answer in named)]))]

    def reference(self, attack: Attack, key: AttackKey) -> NDArray[np.int64]:
        """The answers that a thief is compared with, int64 [test images].

        Raises:
            DataError: the record that holds them is missing, or is of another test split.
        """
        if attack.reference == "victim":
            held = None if self.victim is None else self.victim.predictions
        else:
            found = self.accuracies.get((key.device, key.device_kind, key.artifact))
            held = None if found is None else found.predictions
        if held is None or len(held) != len(attack.thief_predictions):
            known = "is missing" if held is None else f"names {len(held)}"
            raise DataError(
                f"attack on {attack.artifact} (pool {attack.pool}, seed {attack.seed}) names "
                f"{len(attack.thief_predictions)} test images; its reference, the {attack.reference}, {known}",
                hint="the records do not belong to one run",
            )
        return np.asarray(held, np.int64)

    def hits(self, key: AttackKey) -> list[NDArray[np.bool_]]:
        """For each seed of an aggregate, whether thief and reference agree on each test image.

        Raises:
            DataError: a record's fidelity is not what its predictions say.
        """
        rows = []
        for attack in self.attacks.get(key, []):
            hits = np.asarray(attack.thief_predictions, np.int64) == self.reference(attack, key)
            if len(hits) and abs(hits.mean() - attack.fidelity) > 1e-6:
                raise DataError(
                    f"attack on {attack.artifact} (pool {attack.pool}, seed {attack.seed}) records fidelity "
                    f"{attack.fidelity:.4f}, but its predictions agree on {hits.mean():.4f}"
                )
            rows.append(hits)
        return rows

    def _by_key(self, kind: type[_Thief]) -> dict[AttackKey, list[_Thief]]:
        groups: dict[AttackKey, dict[int, _Thief]] = {}
        for r in self._of(kind):
            key = AttackKey(
                *self.device_of(r),
                artifact=r.artifact,
                pool=r.pool,
                strategy=r.strategy,
                learner=r.learner,
                answers=r.answers,
                thief_architecture=r.thief_architecture,
                budget=r.budget,
            )
            groups.setdefault(key, {})[r.seed] = r
        return {key: [group[seed] for seed in sorted(group)] for key, group in sorted(groups.items())}

    def _of(self, kind: type[_T]) -> list[_T]:
        return [record for record in self.records if isinstance(record, kind)]


def device_label(device: Device) -> str:
    """How tables call a device: by its spec, a physical one by model, ABI and the hash of its serial number."""
    if device.device_kind != "physical":
        return device.spec
    mark = f"#{device.serial_hash[:8]}" if device.serial_hash else None
    return " ".join(part for part in (device.model, device.abi, mark) if part) or "phone"


def _last(records: Sequence[_T]) -> _T | None:
    return records[-1] if records else None
