"""Calibration against values worked out by hand, and against what must hold of them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from attack.gains.calibration import calibrate, expected_calibration_error, measure_calibration
from foundation.errors import DataError


def rows(*values: list[float]) -> NDArray[np.float32]:
    return np.array(values, np.float32)


def truth(*labels: int) -> NDArray[np.int64]:
    return np.array(labels, np.int64)


def test_a_case_worked_out_by_hand() -> None:
    found = calibrate(rows([0.9, 0.1], [0.9, 0.1], [0.4, 0.6], [0.3, 0.7]), truth(0, 1, 1, 0))
    assert found.right.tolist() == [True, False, True, False]
    np.testing.assert_allclose(found.confidence, [0.9, 0.9, 0.6, 0.7], rtol=1e-6)
    # Bins of a fifteenth: 0.9 is in the 14th (twice: half are right), 0.6 in the 9th, 0.7 in the 11th.
    assert found.ece == pytest.approx(2 / 4 * abs(0.5 - 0.9) + 1 / 4 * abs(1 - 0.6) + 1 / 4 * abs(0 - 0.7), rel=1e-6)
    assert found.brier == pytest.approx((2 * 0.1**2 + 2 * 0.9**2 + 2 * 0.4**2 + 2 * 0.7**2) / 4, rel=1e-6)
    assert found.nll == pytest.approx(-(math.log(0.9) + math.log(0.1) + math.log(0.6) + math.log(0.3)) / 4, rel=1e-6)


def test_brier_sums_over_all_classes() -> None:
    found = calibrate(rows([0.5, 0.3, 0.2]), truth(1))
    assert found.brier == pytest.approx(0.5**2 + 0.7**2 + 0.2**2, rel=1e-6)


def test_bins_are_closed_to_the_right() -> None:
    right = np.array([True, False])
    # 0.5 belongs to (0, 0.5], with 0.25: one bin of two. Were it in the upper bin, there would be two bins of one.
    assert expected_calibration_error(np.array([0.25, 0.5]), right, bins=2) == pytest.approx(abs(1 - 0.75) / 2)
    assert expected_calibration_error(np.array([0.25, 0.51]), right, bins=2) == pytest.approx((0.75 + 0.51) / 2)
    assert expected_calibration_error(np.array([0.0, 1.0]), ~right, bins=2) == 0


def test_over_and_under_confidence_cancel_within_a_bin_only() -> None:
    confidence = np.array([0.95, 0.95, 0.55, 0.55])
    assert expected_calibration_error(confidence, np.array([True, False, True, False])) == pytest.approx(0.25)


def test_who_is_sure_and_right_is_perfect_and_who_is_sure_and_wrong_the_worst() -> None:
    sure = rows([1, 0], [0, 1])
    best, worst = calibrate(sure, truth(0, 1)), calibrate(sure, truth(1, 0))
    assert (best.ece, best.brier, best.nll) == (0, 0, 0)
    assert (worst.ece, worst.brier) == (1, 2)
    assert worst.nll == pytest.approx(-math.log(1e-12))


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=50))
def test_the_error_lies_between_the_overall_surplus_and_one(images: list[tuple[float, bool]]) -> None:
    confidence, right = np.array([c for c, _ in images]), np.array([r for _, r in images])
    found = expected_calibration_error(confidence, right)
    assert abs(right.mean() - confidence.mean()) - 1e-9 <= found <= 1 + 1e-9


def test_probabilities_that_are_frequencies_are_calibrated() -> None:
    rng = np.random.default_rng(0)
    p = rng.uniform(0.5, 1, 20_000)
    labels = (rng.random(20_000) > p).astype(np.int64)
    two = np.stack([p, 1 - p], 1).astype(np.float32)
    assert calibrate(two, labels).ece < 0.02
    sharper = two**3 / (two**3).sum(axis=1, keepdims=True)
    assert calibrate(sharper, labels).ece > 0.1


def test_the_gap_is_the_copycat_s_minus_the_victim_s() -> None:
    victim, copycat = rows([0.8, 0.2], [0.3, 0.7]), rows([0.6, 0.4], [0.9, 0.1])
    found = measure_calibration(copycat, victim, truth(0, 1))
    assert found.brier == pytest.approx(found.copycat.brier - found.victim.brier)
    assert found.brier > 0
    assert found.nll == pytest.approx((-math.log(0.6) - math.log(0.1) + math.log(0.8) + math.log(0.7)) / 2, rel=1e-5)
    assert found.confidence_difference == pytest.approx((0.2 + 0.2) / 2, rel=1e-5)
    # Victim: 0.8 and 0.7, both right. Copycat: 0.6 right, 0.9 wrong.
    assert found.ece == pytest.approx((0.4 + 0.9) / 2 - (0.2 + 0.3) / 2, rel=1e-5)


def test_a_perfect_copy_has_no_gap() -> None:
    same = rows([0.8, 0.2], [0.3, 0.7])
    found = measure_calibration(same, same, truth(1, 1))
    assert (found.ece, found.brier, found.nll, found.confidence_difference) == (0, 0, 0, 0)


@pytest.mark.parametrize(
    ("probabilities", "labels"),
    [
        (rows([3.0, -1.0]), truth(0)),
        (rows([1.0, 0.5]), truth(0)),
        (rows([float("nan"), 1.0]), truth(0)),
        (rows([0.5, 0.5]), truth(2)),
        (rows([0.5, 0.5]), truth(-1)),
        (rows([0.5, 0.5]), truth(0, 1)),
        (rows([0.5, 0.5])[:0], truth()),
        (np.array([0.5, 0.5], np.float32), truth(0, 1)),
    ],
)
def test_what_is_no_probability_of_a_known_class_is_refused(
    probabilities: NDArray[np.float32], labels: NDArray[np.int64]
) -> None:
    with pytest.raises(DataError):
        calibrate(probabilities, labels)


def test_victims_of_other_classes_are_refused() -> None:
    with pytest.raises(DataError, match="compared"):
        measure_calibration(rows([0.5, 0.5]), rows([0.5, 0.3, 0.2]), truth(0))
