"""Like is held against like, unlike is refused, and worse is what the documentation calls so."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from fabricated_records import RecordMaker, whole_run

from benchmarks.comparison import Comparison, Row, Run, between, compare, judged
from benchmarks.comparison.table import by_device, markdown
from benchmarks.importers.told import Origin, Told, as_records
from benchmarks.record_set import RecordSet
from benchmarks.records import Conditions, Latency, LatencyConfig, Record, Reported
from foundation.errors import DataError, UsageError

FOUR_THREADS = LatencyConfig(threads=4, warmup_runs=1, min_runs=1, min_seconds=0, max_seconds=1)


def run(records: Sequence[Record], name: str = "run") -> Run:
    return Run(name, RecordSet(tuple(records)))


def bench(median_us: float = 600.0, processes: int = 6, seed: int = 0, **changes: Any) -> list[Record]:
    """One artefact in several processes, each with a luck of 1 %."""
    maker = RecordMaker(images=20, seed=seed)
    luck = np.random.default_rng(seed).normal(1, 0.01, processes)
    latencies = [maker.latency("tflite_int8", median_us=median_us * x) for x in luck]
    repeats = [
        record.model_copy(update={"repeat": k, "raw_us": record.raw_us[:300], "raw_kept": 300} | changes)
        for k, record in enumerate(latencies)
    ]
    return [maker.context(), maker.device(), *repeats]


def only(found: Comparison) -> Row:
    (row,) = found.rows
    return row


def test_a_slower_artefact_is_worse_a_faster_one_better_the_same_neither() -> None:
    a = run(bench())
    slower = only(compare(a, run(bench(690, seed=1))))
    assert slower.verdict == "worse"
    assert slower.change == pytest.approx(0.15, abs=0.04)
    assert slower.interval is not None
    assert slower.interval[0] < slower.change < slower.interval[1]
    assert only(compare(a, run(bench(510, seed=1)))).verdict == "better"
    assert only(compare(a, run(bench(seed=1)))).verdict == "no change"


def test_single_processes_are_shown_and_not_judged() -> None:
    row = only(compare(run(bench(processes=1)), run(bench(1200, processes=1))))
    assert (row.verdict, row.p_value, row.interval) == ("not tested", None, None)
    assert row.change > 0.8
    assert row.reason is not None
    assert "1 and 1 processes" in row.reason


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"config": FOUR_THREADS}, "threads 1 against 4"),
        ({"conditions": Conditions(cpus="0")}, "cpus all against 0"),
        ({"conditions": Conditions(fixed_performance=True)}, "fixed-performance off against on"),
        ({"conditions": Conditions(governors={0: "powersave"})}, "governors schedutil against powersave"),
        ({"tier": "rapid"}, "tier quick against rapid"),
        ({"engine": "ExecuTorch 1.5.1"}, "engine LiteRT against ExecuTorch"),
    ],
)  # fmt: skip
def test_another_regime_is_refused_unless_it_may_vary(changes: dict[str, Any], words: str) -> None:
    state = Conditions(governors={0: "schedutil", 4: "schedutil"})
    common = {"conditions": state, "tier": "quick", "engine": "LiteRT 2.3.0"}
    a, b = run(bench(**common), "a"), run(bench(**common | changes), "b")
    with pytest.raises(UsageError, match=words):
        compare(a, b)
    names = [part.split()[0] for part in (words, "governors") if part]
    row = only(compare(a, b, vary=names))
    assert any(words.split()[0] in note for note in row.notes)


def test_another_version_of_the_engine_is_compared_and_told() -> None:
    row = only(compare(run(bench(engine="LiteRT 2.3.0")), run(bench(engine="LiteRT 2.4.0"))))
    assert "engine: LiteRT 2.3.0 against LiteRT 2.4.0" in row.notes


def test_a_cable_and_another_temperature_are_told() -> None:
    cool, warm = Conditions(plugged=False, battery_c_start=28), Conditions(plugged=True, battery_c_start=34.5)
    notes = only(compare(run(bench(conditions=cool)), run(bench(conditions=warm)))).notes
    assert notes[-2:] == ["plugged in: no against yes", "battery: 28.0 °C against 34.5 °C"]


def device_of(kind: Any, **changes: Any) -> list[Record]:
    maker = RecordMaker(images=20)
    latencies = [maker.latency("tflite_int8", kind).model_copy(update={"repeat": k}) for k in range(4)]
    return [maker.device(kind, **changes), *latencies]


def test_kinds_of_device_are_never_compared() -> None:
    with pytest.raises(UsageError, match="kind of device emulated against physical"):
        compare(run(device_of("emulated")), run(device_of("physical")), vary=["device", "host"])


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("physical", {"serial_hash": "ffffffffffff"}),
        ("physical", {"model": "Pixel 9"}),
        ("emulated", {"spec": "sandbox:x86_64"}),
        ("embedded", {"serial_hash": "ffffffffffff"}),
    ],
)
def test_another_device_is_refused(kind: str, changes: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=r"device|computer"):
        compare(run(device_of(kind)), run(device_of(kind, **changes)))


def test_what_one_side_does_not_tell_is_a_note() -> None:
    row = only(compare(run(bench(engine=None)), run(bench(engine="LiteRT 2.3.0"))))
    assert "engine: not told against LiteRT" in row.notes


def test_nothing_in_common_is_refused_and_what_one_lacks_is_told() -> None:
    maker = RecordMaker(images=20)
    other = [maker.device(), maker.latency("executorch_fp32")]
    with pytest.raises(UsageError, match="nothing in common"):
        compare(run(bench()), run(other))
    found = compare(run(bench()), run([*bench(seed=1), *other]))
    assert (found.only_a, found.only_b) == ([], ["executorch_fp32"])


def test_an_unknown_condition_is_refused() -> None:
    with pytest.raises(UsageError, match="--vary weather"):
        compare(run(bench()), run(bench()), vary=["weather"])


def test_of_a_process_told_twice_the_later_record_counts() -> None:
    again = [record for record in bench(900, seed=1) if isinstance(record, Latency)]
    resumed = run([*bench(), *again])
    row = only(compare(run(bench(900, seed=2)), resumed))
    assert (row.units_b, row.verdict) == (6, "no change")


def test_samples_that_another_tool_keeps_to_itself_are_set_side_by_side(tmp_path: Any) -> None:
    told = Told("benchmark_model", "model", reported=Reported(count=50, mean=640.0, p50=660.0))
    theirs = as_records([told], "content", Origin("embedded", "embedded"), tmp_path)
    row = only(compare(run(bench()), run(theirs), ["latency"]))
    assert (row.what, row.b, row.verdict) == ("tflite_int8 / model", 660, "not tested")
    assert row.reason is not None
    assert "benchmark_model" in row.reason
    means = [Told("Minibench", "model", reported=Reported(mean=640.0))]
    row = only(compare(run(bench()), run(as_records(means, "c", Origin("embedded"), tmp_path)), ["latency"]))
    assert row.b == 640
    assert row.a == pytest.approx(
        np.median([r.latency_us.mean for r in bench() if isinstance(r, Latency) and r.latency_us])
    )


def attacked(disagreement: float, seed: int, seeds: int = 3, worse_on_device: float = 0.0) -> list[Record]:
    """A run whose thieves disagree so often; the same victim and test images whatever the seed."""
    maker = RecordMaker(images=400)
    head: list[Record] = [maker.context(), maker.victim(), maker.device()]
    maker.generator = np.random.default_rng(seed)
    if worse_on_device:
        maker.predictions = np.where(maker.generator.random(400) < worse_on_device, 0, maker.predictions)
    accuracy = maker.accuracy_on_device("tflite_int8")
    return [*head, accuracy, *(maker.attack("tflite_int8", k, disagreement=disagreement) for k in range(seeds))]


def test_a_victim_that_is_easier_to_steal_is_worse() -> None:
    a = run(attacked(0.4, 1))
    worse = only(compare(a, run(attacked(0.2, 2)), ["fidelity"]))
    assert worse.verdict == "worse"
    assert worse.change == pytest.approx(0.2, abs=0.06)
    assert only(compare(run(attacked(0.2, 2)), a, ["fidelity"])).verdict == "better"
    assert only(compare(a, run(attacked(0.4, 3)), ["fidelity"])).verdict == "no change"


def test_few_seeds_are_not_judged() -> None:
    row = only(compare(run(attacked(0.4, 1)), run(attacked(0.2, 2, seeds=2)), ["fidelity"]))
    assert row.verdict == "not tested"
    assert "2 seeds in common, of 3 and 2" in row.notes


def test_a_less_accurate_artefact_is_worse_and_another_test_split_is_refused() -> None:
    a, b = run(attacked(0.4, 1)), run(attacked(0.4, 2, worse_on_device=0.3))
    float_victim, artefact = compare(a, b, ["accuracy"]).rows
    assert (float_victim.verdict, float_victim.p_value) == ("no change", 1)
    assert artefact.verdict == "worse"
    assert artefact.interval is not None
    assert artefact.interval[1] < 0
    maker = RecordMaker(images=200, seed=5)
    other = [maker.victim(), maker.device(), maker.accuracy_on_device("tflite_int8")]
    with pytest.raises(UsageError, match="test split"):
        compare(a, run(other), ["accuracy"])


def in_turns(*median_us: float) -> list[Record]:
    """Files of one name, measured in turns within one run."""
    maker = RecordMaker(images=20)
    luck = np.random.default_rng(0).normal(1, 0.01, (6, len(median_us)))
    turns = [
        maker.latency("tflite_int8", median_us=us * float(luck[k, n])).model_copy(
            update={"repeat": k, "order": n, "artifact_sha256": f"{n}" * 64}
        )
        for k in range(6)
        for n, us in enumerate(median_us)
    ]
    return [maker.device(), *turns]


def test_two_builds_measured_in_turns_are_held_against_each_other() -> None:
    both = run(in_turns(600, 690))
    row = only(compare(*between(both, "000000", "111111")))
    assert (row.what, row.units_a, row.units_b, row.verdict) == ("tflite_int8", 6, 6, "worse")
    with pytest.raises(DataError, match="2 files of the name tflite_int8"):
        between(both, "tflite_int8", "111111")
    with pytest.raises(DataError, match="nothing of executorch_fp32"):
        between(both, "000000", "executorch_fp32")
    assert [(row.what, row.verdict) for row in compare(both, both).rows] == [
        ("tflite_int8 #00000000", "no change"),
        ("tflite_int8 #11111111", "no change"),
    ]


def test_two_artefacts_of_one_run_are_compared_in_all_that_both_have() -> None:
    maker = RecordMaker(images=400)
    records: list[Record] = [maker.context(), maker.victim(), maker.device()]
    for name, disagreement in (("tflite_fp32", 0.2), ("tflite_int8", 0.4)):
        records += [maker.accuracy_on_device(name), maker.latency(name)]
        records += [maker.attack(name, seed, disagreement=disagreement) for seed in range(3)]
    rows = compare(*between(run(records), "tflite_fp32", "tflite_int8")).rows
    assert [(row.metric, row.verdict) for row in rows] == [
        ("latency", "not tested"),
        ("accuracy", "no change"),
        ("fidelity", "better"),
    ]
    assert rows[0].what == "tflite_fp32 / tflite_int8"


def test_fail_on_names_what_is_worse_by_more() -> None:
    found = compare(run(bench()), run(bench(690, seed=1)))
    assert judged(found, 0.05).failed == ["latency of tflite_int8"]
    assert judged(found, 0.3).failed == []
    assert judged(compare(run(bench()), run(bench(510, seed=1))), 0.05).failed == []


def on_two_kinds() -> list[Record]:
    maker = RecordMaker()
    return [*whole_run(maker), maker.device("physical"), maker.latency("tflite_int8", "physical")]


def test_a_table_for_a_pull_request_keeps_kinds_of_device_apart() -> None:
    found = compare(run(on_two_kinds(), "be|fore"), run(on_two_kinds(), "after"), ["latency", "accuracy"])
    assert [device for device, _ in by_device(found)] == [
        "in process",
        "embedded",
        "Pixel 8 arm64-v8a #a1b2c3d4 (physical)",
    ]
    text = markdown(found)
    assert "A: `be\\|fore`" in text
    assert text.count("| verdict |") == 3
    assert len({line.count(" | ") for line in text.splitlines() if line.startswith("|")}) == 1


def test_the_same_records_give_the_same_document() -> None:
    a, b = run(bench()), run(bench(seed=1))
    assert compare(a, b) == compare(a, b)
