"""What the measurement of false alarms and of power holds against its bounds, from figures made up here."""

from __future__ import annotations

from typing import Any

from benchmarks.comparison.power import checks


def raw(false_alarms: float, found: float) -> dict[str, Any]:
    return {"same": {"share_told": false_alarms}, "slower": {"share_slower": found}}


def test_both_bounds_are_the_issues() -> None:
    assert [check.ok for check in checks(raw(0.05, 0.95), quick=False)] == [True, True]
    assert [check.ok for check in checks(raw(0.06, 0.95), quick=False)] == [False, True]
    assert [check.ok for check in checks(raw(0.05, 0.94), quick=False)] == [True, False]


def test_a_quick_run_and_none_stand_for_neither() -> None:
    assert [check.ok for check in checks(raw(0.0, 1.0), quick=True)] == [None, None]
    assert [check.value for check in checks(None, quick=False)] == [None, None]
