"""Thieves in the one document: by class, against random, their costs, and what they gain beyond labels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from fabricated_records import RecordMaker

from benchmarks.records import Attack, Record
from benchmarks.summary import AttackSummary, summarise


def thieves(maker: RecordMaker, disagreement: float, seeds: int = 3, **changes: Any) -> list[Record]:
    return [maker.attack("a", seed, disagreement=disagreement, **changes) for seed in range(seeds)]


def by_name(records: list[Record]) -> dict[str, AttackSummary]:
    return {attack.name: attack for attack in summarise(records).attacks}


def test_thieves_that_learn_otherwise_are_another_aggregate(maker: RecordMaker) -> None:
    records: list[Record] = [maker.accuracy_on_device("a"), *thieves(maker, 0.3), *thieves(maker, 0.2, learner="semi")]
    found = by_name(records)
    assert found.keys() == {"random", "random (semi)"}
    assert all(attack.seeds == [0, 1, 2] for attack in found.values())


def test_fidelity_by_class_is_counted_over_the_reference_s_answers(maker: RecordMaker) -> None:
    on_device = maker.accuracy_on_device("a")
    attacks = thieves(maker, 0.4)
    [found] = summarise([maker.victim(), on_device, *attacks]).attacks
    reference = np.array(on_device.predictions)
    for label, part in enumerate(found.class_fidelity):
        rows = reference == label
        shares = [(np.array(a.thief_predictions)[rows] == label).mean() for a in attacks if isinstance(a, Attack)]
        assert (part.name, part.images) == (maker.class_names[label], rows.sum())
        assert part.fidelity == pytest.approx(np.mean(shares))
        assert part.fidelity_ci is not None
        assert part.fidelity_ci[0] < np.mean(shares) < part.fidelity_ci[1]


def test_a_class_that_the_victim_never_names_has_no_fidelity(maker: RecordMaker) -> None:
    maker.predictions = np.zeros_like(maker.predictions)
    maker.on_device["embedded", "a"] = maker.predictions
    [found] = summarise([maker.victim(), *thieves(maker, 0.4, reference="victim")]).attacks
    assert [part.fidelity is None for part in found.class_fidelity] == [False, True, True, True]
    assert found.most_frequent == 1


def test_classes_are_numbered_where_no_victim_is_on_record(maker: RecordMaker) -> None:
    [found] = summarise([maker.accuracy_on_device("a"), *thieves(maker, 0.4)]).attacks
    assert [part.name for part in found.class_fidelity] == [f"class {k}" for k in range(4)]


def test_only_who_is_better_beyond_chance_beats_random(maker: RecordMaker) -> None:
    records: list[Record] = [maker.accuracy_on_device("a"), *thieves(maker, 0.4)]
    for strategy, disagreement in (("better", 0.15), ("alike", 0.4), ("worse", 0.6)):
        records += thieves(maker, disagreement, strategy=strategy)
    found = by_name(records)
    assert {name: attack.beats_random for name, attack in found.items()} == {
        "random": None, "better": True, "alike": False, "worse": False,
    }  # fmt: skip
    low, high = found["better"].gain_ci or (0, 0)
    assert low < found["better"].fidelity - found["random"].fidelity < high


@pytest.mark.parametrize(
    "other",
    [{"pool": "proxy"}, {"budget": 500}, {"learner": "semi"}, {"answers": "scores"}, {"thief_architecture": "x"}],
)
def test_random_of_another_pool_budget_learner_policy_or_network_is_no_baseline(
    maker: RecordMaker, other: dict[str, Any]
) -> None:
    records: list[Record] = [maker.accuracy_on_device("a"), *thieves(maker, 0.2, strategy="kcenter")]
    records += thieves(maker, 0.4, **other)
    assert by_name(records)["kcenter"].beats_random is None


def test_only_seeds_that_both_have_are_compared(maker: RecordMaker) -> None:
    records: list[Record] = [maker.accuracy_on_device("a"), *thieves(maker, 0.4, seeds=1)]
    records += [maker.attack("a", seed, disagreement=0.1, strategy="kcenter") for seed in (1, 2)]
    assert by_name(records)["kcenter"].baseline is None
    records += [maker.attack("a", 0, disagreement=0.1, strategy="kcenter")]
    assert by_name(records)["kcenter"].baseline == "random"


@pytest.mark.parametrize(
    ("strategy", "against"),
    [
        ("amplify:kcenter", "amplify"),
        ("random+amplify:kcenter", "random+amplify"),
        ("kcenter+amplify", "random+amplify"),
    ],
)
def test_where_a_pool_is_too_small_for_random_the_variants_are_drawn_at_random(
    maker: RecordMaker, strategy: str, against: str
) -> None:
    records: list[Record] = [maker.accuracy_on_device("a"), *thieves(maker, 0.3, strategy=strategy)]
    records += thieves(maker, 0.3, strategy=against)
    found = by_name(records)
    assert (found[strategy].baseline, found[against].baseline) == (against, None)
    records += thieves(maker, 0.3)
    assert by_name(records)[strategy].baseline == "random"


def test_another_way_to_learn_from_random_queries_is_held_against_the_plain_one(maker: RecordMaker) -> None:
    records: list[Record] = [maker.accuracy_on_device("a"), *thieves(maker, 0.4), *thieves(maker, 0.1, learner="semi")]
    found = by_name(records)["random (semi)"]
    assert (found.baseline, found.beats_random) == ("random", True)


def test_energy_and_wall_seconds_are_means_over_the_seeds(maker: RecordMaker) -> None:
    on_device = maker.accuracy_on_device("a")
    told = [maker.attack("a", seed, energy_joules=2.0 + seed, seconds_train=10.0 * seed) for seed in range(3)]
    [found] = summarise([on_device, *told]).attacks
    assert (found.energy_joules, found.seconds_wall) == (3.0, pytest.approx(6.2 + 10))
    [found] = summarise([on_device, *told, maker.attack("a", 3)]).attacks
    assert found.energy_joules is None


def test_gains_are_means_over_seeds_bound_by_bound(maker: RecordMaker) -> None:
    gains = [maker.gain("a", seed) for seed in range(3)]
    [found] = summarise(gains).gains
    assert found.seeds == [0, 1, 2]
    assert [point.epsilon for point in found.transfer] == [2, 4, 8]
    fooled = [gain.transfer[1].victim_fooled for gain in gains]
    assert found.transfer[1].victim_fooled == pytest.approx(np.mean(fooled))
    assert found.transfer[1].victim_fooled_range == (min(fooled), max(fooled))
    assert found.saliency is not None
    assert found.saliency.images == 64
    assert found.calibration is not None
    assert found.calibration.ece_thief == pytest.approx(0.071)


def test_a_gain_that_was_not_measured_is_null(maker: RecordMaker) -> None:
    [found] = summarise([maker.gain("a", transfer=[], saliency=None, calibration=None)]).gains
    assert (found.transfer, found.saliency, found.calibration) == ([], None, None)
