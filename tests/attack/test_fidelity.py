"""Fidelity against cases counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from attack.fidelity import Fidelity, measure_fidelity
from foundation.errors import DataError


def measure(thief: list[int], victim: list[int], truth: list[int]) -> Fidelity:
    return measure_fidelity(*(np.array(labels, np.int64) for labels in (thief, victim, truth)))


def test_a_case_counted_by_hand() -> None:
    found = measure(thief=[0, 0, 1, 1, 2, 2, 0, 2], victim=[0, 0, 0, 1, 2, 1, 0, 1], truth=[0, 0, 1, 1, 2, 2, 2, 0])
    assert found.accuracy == 6 / 8
    # They agree on images 0, 1, 3, 4 and 6; the victim is right on 0, 1, 3 and 4.
    assert found.agrees.tolist() == [True, True, False, True, True, False, True, False]
    assert found.fidelity == 5 / 8
    assert found.correct_fidelity == 1.0
    assert found.relative_accuracy == pytest.approx((6 / 8) / (4 / 8))
    # F1 = 2 tp / (2 tp + fp + fn). Thief: 4/6, 4/4, 4/6. Victim: 4/7, 2/5, 2/4.
    assert found.macro_f1_ratio == pytest.approx((4 / 6 + 1 + 4 / 6) / (4 / 7 + 2 / 5 + 2 / 4))


def test_a_perfect_copy_copies_the_mistakes_too() -> None:
    found = measure(thief=[0, 1, 1, 0], victim=[0, 1, 1, 0], truth=[0, 1, 0, 1])
    assert (found.fidelity, found.correct_fidelity, found.relative_accuracy, found.macro_f1_ratio) == (1, 1, 1, 1)
    assert found.accuracy == 0.5


def test_agreement_is_counted_apart_where_the_victim_is_right() -> None:
    found = measure(thief=[1, 0, 0, 0], victim=[0, 0, 0, 0], truth=[0, 0, 1, 1])
    assert found.fidelity == 3 / 4
    assert found.correct_fidelity == 1 / 2


def test_a_thief_better_than_its_victim_has_ratios_above_one() -> None:
    found = measure(thief=[0, 1, 0, 1], victim=[0, 1, 1, 0], truth=[0, 1, 0, 1])
    assert found.relative_accuracy == 2.0
    assert found.macro_f1_ratio == 2.0
    assert found.fidelity == 0.5


def test_a_victim_that_is_never_right_gives_zeros_not_errors() -> None:
    found = measure(thief=[0, 1, 1], victim=[1, 0, 0], truth=[0, 1, 1])
    assert (found.accuracy, found.fidelity) == (1.0, 0.0)
    assert (found.correct_fidelity, found.relative_accuracy, found.macro_f1_ratio) == (0.0, 0.0, 0.0)


def test_a_class_that_is_missing_in_the_test_split_does_not_weigh() -> None:
    # Class 1 never occurs, the thief names it once: F1 is averaged over classes 0 and 2 alone.
    found = measure(thief=[0, 1, 2, 2], victim=[0, 0, 2, 2], truth=[0, 0, 2, 2])
    assert found.macro_f1_ratio == pytest.approx((2 / 3 + 1) / 2)
    assert found.accuracy == found.fidelity == 3 / 4


@pytest.mark.parametrize("lengths", [(3, 4, 4), (4, 3, 4), (4, 4, 3), (0, 0, 0)])
def test_not_one_prediction_each_is_refused(lengths: tuple[int, int, int]) -> None:
    with pytest.raises(DataError, match="not one each"):
        measure(*([0] * length for length in lengths))
