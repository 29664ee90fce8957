"""What the benchmark of extraction holds against its bounds, from figures made up here."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
from fabricated_records import RecordMaker

from benchmarks import records
from benchmarks.extraction import ACTIVE, checks, plans, so_far
from benchmarks.proof import Check
from benchmarks.theft.side_by_side import TIMED

MILLION = {"queries": 1_000_000, "share": 0.9, "file_bytes": 38_000_000, "growth_kib": 40_000}


def thief(budget: int, fidelity: float, seed: int = 0, strategy: str = "amplify", learner: str = "supervised") -> Any:
    return {
        "strategy": strategy,
        "learner": learner,
        "budget": budget,
        "seed": seed,
        "fidelity": fidelity,
        "relative_accuracy": fidelity + 0.05,
        "seconds_query": 1800.0,
        "seconds_train": 1800.0,
    }


def peer(name: str, budget: int, fidelity: float) -> Any:
    return {"peer": name, "budget": budget, "seed": 0, "fidelity": fidelity}


def clock(*ratios: float) -> Any:
    return {name: {"ratio": ratio} for name, ratio in zip(TIMED, ratios, strict=True)}


@pytest.fixture
def raw() -> dict[str, Any]:
    """Everything measured, every bound met."""
    data = {
        "hundred": {"thieves": [thief(1000, 0.1), thief(50_000, 0.93), thief(50_000, 0.97, 1)]},
        "whole": {"thieves": [thief(50_000, 0.96)]},
        "npd-million": {"thieves": [thief(1_000_000, 0.3, strategy="random")]},
    }
    proxy = {"thieves": [thief(2000, 0.8, strategy="random"), thief(20_000, 0.9, strategy="random")]}
    active = {"thieves": [thief(2000, 0.9, 0, "kcenter"), thief(2000, 0.7, 1, "kcenter")]}
    art = {
        "thieves": [peer("copycat", 8000, 0.5), peer("knockoff adaptive", 2000, 0.99)],
        "wall_clock": clock(6.0, 7.0, 8.0),
    }
    chest = {"thieves": [peer("copycat", 394, 0.8)], "wall_clock": clock(4.0, 7.0, 8.0)}
    return {
        "phantom": {**data, "proxy": proxy, "active": active},
        "chestxray64": data,
        "art": {"phantom": art, "chestxray64": chest},
        "million": MILLION,
    }


def by_name(found: list[Check]) -> dict[str, Check]:
    assert len({check.name for check in found}) == len(found)
    return {check.name: check for check in found}


def test_means_over_the_seeds_at_the_budget_stand_against_the_bounds(raw: dict[str, Any]) -> None:
    found = by_name(checks(raw, quick=False))
    hundred = found["chestxray64, 100 images, 50,000 queries: fidelity"]
    assert hundred.value == pytest.approx(0.95)
    assert hundred.ok
    assert found["phantom, a million NPD queries, asked and learnt"].value == pytest.approx(1.0)
    assert [check.name for check in found.values() if check.ok is None] == []
    assert [check.name for check in found.values() if check.ok is False] == [
        "chestxray64: wall clock of ART's CopycatCNN, batches of 64 over ours, equal images and epochs"
    ]


def test_ours_is_a_strategys_mean_and_arts_best_is_at_the_budget_named(raw: dict[str, Any]) -> None:
    found = by_name(checks(raw, quick=False))
    ours = found["phantom's proxy pool: ours with 2,000 queries less ART's best with 8,000, fidelity"]
    # k-center's mean is no better than random's 0.8; ART's 0.99 was reached with another budget.
    assert ours.value == pytest.approx(0.8 - 0.5)
    chest = found["chestxray64: ours with 100 images less ART's best with the whole half, fidelity"]
    assert chest.value == pytest.approx(0.95 - 0.8)


def test_a_bound_that_is_missed_fails(raw: dict[str, Any]) -> None:
    raw["phantom"]["whole"]["thieves"] = [thief(50_000, 0.93)]
    found = by_name(checks(raw, quick=False))
    assert found["phantom, all of the thief's half, 50,000 queries: relative accuracy"].ok is False


def test_what_was_not_measured_is_neither_passed_nor_failed(raw: dict[str, Any]) -> None:
    del raw["chestxray64"], raw["art"]["chestxray64"]
    assert {check.ok for check in checks(raw, quick=False) if check.name.startswith("chest")} == {None}
    quick = [check for check in checks(raw, quick=True) if "ledger" not in check.name]
    assert {check.ok for check in quick} == {None}


def test_random_stands_beside_every_strategy() -> None:
    for data in ("phantom", "chestxray64"):
        for plan in itertools.chain(*plans(data, quick=False)):
            assert "--no-baseline" not in plan.options
    active = next(plan for plan in itertools.chain(*plans("phantom", quick=False)) if plan.name == "active")
    assert all(name in active.options for name in ACTIVE)


def test_what_a_run_has_done_so_far_is_told_and_the_rest_has_no_verdict(tmp_path: Path) -> None:
    run = RecordMaker()
    place = tmp_path / "phantom" / "hundred" / "results.jsonl"
    changes = {"pool": "pd:100", "strategy": "amplify", "budget": 50_000, "disagreement": 0.02}
    made = [run.device(), run.accuracy_on_device("tflite_int8")]
    for record in [*made, *(run.attack("tflite_int8", seed, **changes) for seed in (0, 1))]:
        records.append(place, record)
    raw, found = so_far(tmp_path)
    assert [thief["seed"] for thief in raw["phantom"]["hundred"]["thieves"]] == [0, 1]  # type: ignore[index,call-overload]
    verdicts = {check.name: check.ok for check in found}
    assert verdicts.pop("phantom, 100 images, 50,000 queries: fidelity") is True
    assert verdicts.pop("phantom, 100 images, 50,000 queries: relative accuracy") is True
    assert set(verdicts.values()) == {None}
