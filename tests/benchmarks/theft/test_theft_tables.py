"""Tables of what thieves copy."""

from __future__ import annotations

from typing import Any

from benchmarks.theft import tables


def attack(pool: str, strategy: str, budget: int, fidelity: float, gain: list[float] | None = None) -> dict[str, Any]:
    return {
        "pool": pool,
        "strategy": strategy,
        "learner": "supervised",
        "budget": budget,
        "fidelity": fidelity,
        "fidelity_ci": [fidelity - 0.01, fidelity + 0.01],
        "relative_accuracy": fidelity + 0.02,
        "gain_ci": gain,
        "beats_random": None if gain is None else gain[0] > 0,
        "seconds_query": 1.0,
        "seconds_train": 20.0,
    }


def document(**raw: Any) -> dict[str, Any]:
    return {"raw": {"art": {}, **raw}, "checks": []}


def test_a_curve_has_a_column_for_each_budget_and_blanks_where_nothing_was_measured() -> None:
    hundred = {"summary": [attack("pd:100", "amplify", 250, 0.6), attack("pd:100", "amplify", 1000, 0.8)]}
    npd = {"summary": [attack("npd", "random", 1000, 0.3)]}
    text = tables.theft_curves(document(phantom={"hundred": hundred, "npd": npd}))
    assert "| 250 | 1,000 |" in text
    assert "| phantom | pd:100 | amplify | 60.0 / 62.0 | 80.0 / 82.0 |" in text
    assert "| phantom | npd | random |  | 30.0 / 32.0 |" in text


def test_a_strategy_that_does_not_beat_random_is_told_so() -> None:
    done = {
        "summary": [
            attack("proxy", "random", 2000, 0.9),
            attack("proxy", "entropy", 2000, 0.91, [-0.01, 0.03]),
            attack("proxy", "kcenter", 2000, 0.95, [0.02, 0.07]),
        ]
    }
    rows = tables.theft_strategies(document(phantom={"active": done})).splitlines()[2:]
    assert [row.split(" | ")[6:8] for row in rows] == [["–", ""], ["-1.0 to +3.0", "no"], ["+2.0 to +7.0", "yes"]]


def test_peers_are_means_over_seeds() -> None:
    thief = {"peer": "copycat", "budget": 8000, "distinct": 8000, "relative_accuracy": 0.8, "seconds": 60.0}
    raw = {"phantom": {"thieves": [{**thief, "fidelity": 0.6}, {**thief, "fidelity": 0.8}]}}
    assert "| phantom | copycat | 8,000 | 8,000 | 70.0% | 80.0% | 60 |" in tables.theft_peers(document(art=raw))


def test_no_peers_yet_are_a_head_alone() -> None:
    assert len(tables.theft_peers(document(art={"phantom": None})).splitlines()) == 2


def test_a_bound_that_does_not_hold_stands_out() -> None:
    checks = [
        {"name": "few", "value": 0.91234, "bound": ">= 0.93", "ok": False},
        {"name": "none", "value": None, "bound": ">= 1", "ok": None},
    ]
    text = tables.bounds({"raw": {}, "checks": checks})
    assert "| few | 0.9123 | >= 0.93 | **does not hold** |" in text
    assert "| none | – | >= 1 | not measured |" in text
