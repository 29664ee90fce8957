"""The sequential test: its sums, its ranks, and the false alarms that it promises."""

from __future__ import annotations

import numpy as np
import pytest

from defense.detection.sequential import CalibrationSettings, SequentialTest, calibrate, sums
from foundation.errors import DataError, UsageError

QUICK = CalibrationSettings(sessions=200)


def patients(count: int, each: int = 1) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.repeat(np.arange(count), each)


def test_sums_are_those_of_the_recursion_however_they_are_cut() -> None:
    evidence = np.random.default_rng(0).normal(-0.2, 1, 500)
    expected, value = [], 0.0
    for step in evidence:
        value = max(0.0, value + step)
        expected.append(value)
    found, start = [], 0.0
    for part in np.split(evidence, [1, 40, 41, 333]):
        found.append(sums(part, start))
        start = float(found[-1][-1])
    np.testing.assert_allclose(np.concatenate(found), expected, atol=1e-9)
    assert len(sums(np.empty(0), 3.0)) == 0


def test_only_the_rank_of_a_score_counts() -> None:
    scores = np.random.default_rng(1).normal(size=300)
    one = calibrate(scores, patients(300), np.random.default_rng(2), QUICK)
    other = calibrate(np.exp(scores), patients(300), np.random.default_rng(2), QUICK)
    assert one.threshold == other.threshold
    asked = np.random.default_rng(3).normal(size=50)
    np.testing.assert_allclose(one.evidence(asked), other.evidence(np.exp(asked)))


@pytest.mark.parametrize(("count", "each"), [(100, 1), (150, 4)])
def test_harmless_sessions_seldom_raise_an_alarm(count: int, each: int) -> None:
    """Over calibrations too: no more than three times the rate of one in a hundred, of which 5 x 200 are drawn."""
    alarms = sessions = 0
    for seed in range(5):
        rng = np.random.default_rng(seed)
        # Images of one patient are alike.
        scores = (rng.normal(size=(count, 1)) + 0.3 * rng.normal(size=(count, each))).ravel()
        test = calibrate(scores, patients(count, each), rng, QUICK)
        for _ in range(200):
            session = (rng.normal(size=(1000 // each, 1)) + 0.3 * rng.normal(size=(1000 // each, each))).ravel()
            alarms += bool((sums(test.evidence(session), 0.0) > test.threshold).any())
            sessions += 1
    assert alarms / sessions <= 0.03


def test_strange_queries_raise_it_as_soon_as_it_can_be() -> None:
    rng = np.random.default_rng(4)
    test = calibrate(rng.normal(size=500), patients(500), rng)
    walked = sums(test.evidence(np.full(100, 20.0)), 0.0)
    assert int(np.flatnonzero(walked > test.threshold)[0]) + 1 == test.least
    assert 2 <= test.least < 50


def test_a_late_thief_is_not_excused_by_those_before() -> None:
    rng = np.random.default_rng(5)
    test = calibrate(rng.normal(size=500), patients(500), rng)
    stream = np.concatenate([rng.normal(-3, 0.1, 5000), np.full(100, 20.0)])
    alarm = int(np.flatnonzero(sums(test.evidence(stream), 0.0) > test.threshold)[0])
    assert alarm - 5000 < test.least


def test_fewer_patients_need_more_evidence_per_query() -> None:
    """What no patient of a few was like may be like one of many: each query tells less."""
    few, many = (
        calibrate(np.arange(float(count)), patients(count), np.random.default_rng(6), QUICK) for count in (25, 400)
    )
    assert few.evidence(np.array([1e9]))[0] < many.evidence(np.array([1e9]))[0]


def test_a_test_that_can_never_alarm_says_so() -> None:
    assert SequentialTest(np.empty(0), 0.2, 5.0).least == 0


@pytest.mark.parametrize("scores", [np.zeros(19), np.append(np.zeros(30), np.nan)])
def test_too_few_patients_or_no_numbers_calibrate_nothing(scores: np.ndarray[tuple[int], np.dtype[np.float64]]) -> None:
    with pytest.raises(DataError, match="20 patients"):
        calibrate(scores, patients(len(scores)), np.random.default_rng(0), QUICK)


@pytest.mark.parametrize("wrong", [{"rate": 0.0}, {"power": 1.0}, {"horizon": 0}, {"rate": 0.01, "sessions": 50}])
def test_settings_that_cannot_be_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(UsageError):
        CalibrationSettings(**wrong)  # type: ignore[arg-type]
