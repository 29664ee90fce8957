"""The one document of a run, against counting by hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from fabricated_records import RecordMaker, whole_run

from benchmarks.records import Attack, Record
from benchmarks.summary import summarise
from foundation.errors import DataError


def test_an_aggregate_is_the_mean_over_its_seeds(maker: RecordMaker) -> None:
    on_device = maker.accuracy_on_device("a")
    attacks = [maker.attack("a", seed, seconds_query=float(seed)) for seed in (2, 0, 1)]
    [found] = summarise([maker.victim(), maker.device(), on_device, *attacks]).attacks
    thieves = np.array([attack.thief_predictions for attack in attacks])
    assert found.seeds == [0, 1, 2]
    assert found.fidelity == pytest.approx((thieves == np.array(on_device.predictions)).mean())
    assert found.accuracy == pytest.approx((thieves == maker.labels).mean())
    assert found.seconds_query == 1.0
    assert found.queries == 4000
    assert found.fidelity_ci[0] < found.fidelity < found.fidelity_ci[1]
    assert found.accuracy_ci is not None
    assert found.accuracy_ci[0] < found.accuracy < found.accuracy_ci[1]
    assert found.most_frequent == np.bincount(on_device.predictions).max() / len(on_device.predictions)


def test_the_document_has_the_keys_that_the_command_line_promises(run_records: list[Record]) -> None:
    document = json.loads(summarise(run_records).reported(Path("out/report.html")).model_dump_json())
    assert document["report"] == "out/report.html"
    assert document["victim"]["accuracy"] > 0.9
    for artifact in document["artifacts"]:
        assert {"name", "runtime", "precision", "bytes", "sha256", "accuracy_on_device"} <= artifact.keys()
        assert artifact["parity"]["agreement"] == 0.996
        assert artifact["parity"]["rms"] == 0.031
        assert 0 < artifact["latency_us"]["p50"] < artifact["latency_us"]["p90"]
    assert len(document["attacks"]) == 4
    for attack in document["attacks"]:
        assert isinstance(attack["queries"], int)
        assert {
            "artifact", "pool", "strategy", "answers", "budget", "seeds", "accuracy", "fidelity", "fidelity_ci",
            "relative_accuracy", "correct_fidelity", "macro_f1_ratio", "seconds_query", "seconds_train",
        } <= attack.keys()  # fmt: skip


def test_the_same_records_give_the_same_document(run_records: list[Record]) -> None:
    assert summarise(run_records) == summarise(tuple(run_records))


def test_a_repeated_record_counts_once_and_the_later_one_is_believed(maker: RecordMaker) -> None:
    first = [maker.device(), maker.accuracy_on_device("a"), maker.attack("a", 0)]
    again = [maker.accuracy_on_device("a"), maker.attack("a", 0, disagreement=0.1)]
    [found] = summarise([*first, *again]).attacks
    assert found.seeds == [0]
    assert found.fidelity == again[1].fidelity  # type: ignore[union-attr]


def test_thieves_on_devices_of_different_kinds_are_never_one_aggregate(maker: RecordMaker) -> None:
    records: list[Record] = [maker.artifact()]
    for run, kind in (("run-1", "embedded"), ("run-2", "physical")):
        maker.base["run_id"] = run
        records += [maker.device(kind), maker.accuracy_on_device("tflite_int8", kind)]  # type: ignore[arg-type]
        records += [maker.latency("tflite_int8", kind), maker.attack("tflite_int8", kind=kind)]  # type: ignore[arg-type]
    found = summarise(records)
    assert [attack.device_kind for attack in found.attacks] == ["physical", "embedded"]
    assert [artifact.device_kind for artifact in found.artifacts] == ["embedded", "physical"]


def test_two_phones_are_told_apart_by_their_runs(maker: RecordMaker) -> None:
    records: list[Record] = [maker.artifact()]
    for run, serial in (("run-1", "11111111"), ("run-2", "22222222")):
        maker.base["run_id"] = run
        records.append(maker.device("physical", serial_hash=serial))
        records.append(maker.latency("tflite_int8", "physical"))
    found = summarise(records).artifacts
    assert [artifact.device for artifact in found] == ["Pixel 8 arm64-v8a #11111111", "Pixel 8 arm64-v8a #22222222"]


def test_a_fidelity_that_the_predictions_contradict_is_refused(maker: RecordMaker) -> None:
    on_device = maker.accuracy_on_device("a")
    attack = maker.attack("a")
    lie = Attack.model_validate(attack.model_dump() | {"fidelity": attack.fidelity - 0.1})
    with pytest.raises(DataError, match="records fidelity"):
        summarise([on_device, lie])


@pytest.mark.parametrize("reference", ["device", "victim"])
def test_an_attack_without_its_reference_is_refused(maker: RecordMaker, reference: str) -> None:
    maker.accuracy_on_device("a")
    with pytest.raises(DataError, match="is missing"):
        summarise([maker.attack("a", reference=reference)])


def test_an_attack_may_be_compared_with_the_float_victim(maker: RecordMaker) -> None:
    maker.on_device["embedded", "a"] = maker.predictions
    attack = maker.attack("a", reference="victim")
    [found] = summarise([maker.victim(), attack]).attacks
    assert found.fidelity == attack.fidelity


def test_whatever_was_not_measured_is_null(maker: RecordMaker) -> None:
    found = summarise([maker.artifact()])
    assert found.victim is None
    assert found.attacks == []
    [artifact] = found.artifacts
    assert artifact.accuracy_on_device is None
    assert artifact.latency_us is None


def test_a_mean_of_device_seconds_needs_them_all(maker: RecordMaker) -> None:
    on_device = maker.accuracy_on_device("a")
    known, unknown = maker.attack("a", 0), maker.attack("a", 1, device_seconds=None)
    assert summarise([on_device, known]).attacks[0].device_seconds == 2.9
    assert summarise([on_device, known, unknown]).attacks[0].device_seconds is None


def test_chance_and_always_naming_one_class_are_told_for_skewed_data() -> None:
    maker = RecordMaker(["a", "b"], images=100)
    maker.labels = np.array([0] * 90 + [1] * 10)
    found = summarise(whole_run(maker)).victim
    assert found is not None
    assert (found.chance, found.most_frequent) == (0.5, 0.9)
