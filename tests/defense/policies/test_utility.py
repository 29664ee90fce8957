"""What a policy costs: known answers, known costs."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from defense.policies.utility import REFUSED, measure_utility
from foundation.answers import AnswerPolicy, Answers
from foundation.errors import DataError

PROBABILITIES = np.array([[0.7, 0.2, 0.1], [0.1, 0.55, 0.35], [0.3, 0.3, 0.4], [0.05, 0.05, 0.9]], np.float32)
TRUTH = np.array([0, 2, 2, 2])
IMAGES = np.arange(16, dtype=np.uint8).reshape(4, 2, 2, 1)


def answers(policy: str, probabilities: NDArray[np.float32] = PROBABILITIES) -> Answers:
    parsed = AnswerPolicy.parse(policy)
    labels, scores = parsed.apply(np.log(probabilities), IMAGES[: len(probabilities)])
    return Answers(parsed, 3, labels, scores, np.zeros(len(probabilities), np.uint32))


OWN = answers("scores")


def test_undefended_scores_cost_nothing() -> None:
    found = measure_utility(OWN, OWN, TRUTH)
    assert (found.images, found.refused, found.accuracy) == (4, 0, 0.75)
    assert (found.top1_changed, found.probability_change) == (0, 0)
    assert found.predictions == [0, 1, 2, 2]
    assert found.brier == pytest.approx(np.mean([0.14, 0.7350, 0.54, 0.015]), abs=1e-6)
    assert found.ece == pytest.approx((0.3 - 0.55 + 0.6 + 0.1) / 4 + 2 * 0.55 / 4, abs=1e-6)


def test_labels_keep_accuracy_and_tell_no_probability() -> None:
    found = measure_utility(answers("label"), OWN, TRUTH)
    assert (found.accuracy, found.top1_changed) == (0.75, 0)
    assert (found.ece, found.brier, found.probability_change) == (None, None, None)


def test_refusals_count_as_not_right_and_are_not_calibrated() -> None:
    found = measure_utility(answers("confident:0.6"), OWN, TRUTH)
    assert (found.refused, found.accuracy, found.accuracy_answered) == (0.5, 0.5, 1.0)
    assert found.predictions == [0, REFUSED, REFUSED, 2]
    # 0.2 and 0.1 of the one, 0.05 twice of the other were not told.
    assert found.probability_change == pytest.approx(0.4 / 6, abs=1e-6)
    assert found.top1_changed == 0


def test_who_refuses_everything_has_nothing_to_be_measured() -> None:
    found = measure_utility(answers("confident:1"), OWN, TRUTH)
    assert (found.refused, found.accuracy, found.accuracy_answered, found.top1_changed) == (1, 0, None, 0)
    assert (found.ece, found.brier, found.probability_change) == (None, None, None)


def test_rounding_changes_what_is_told_as_it_is_told() -> None:
    found = measure_utility(answers("round:1"), OWN, TRUTH)
    assert found.probability_change is not None
    # 0.55 and 0.35 lie between two tenths, and so do 0.05 and 0.05.
    assert found.probability_change == pytest.approx(4 * 0.05 / 12, abs=1e-6)


def test_a_changed_best_class_is_counted() -> None:
    swapped = answers("scores", PROBABILITIES[[1, 0, 2, 3]])
    found = measure_utility(swapped, OWN, TRUTH)
    assert (found.top1_changed, found.accuracy) == (0.5, 0.5)


def test_logits_are_read_as_their_softmax() -> None:
    found = measure_utility(answers("logits"), OWN, TRUTH)
    assert found.probability_change == pytest.approx(0, abs=1e-6)
    assert found.ece == pytest.approx(measure_utility(OWN, OWN, TRUTH).ece)


def test_answers_that_do_not_belong_together_are_refused() -> None:
    with pytest.raises(DataError, match="not one each"):
        measure_utility(OWN, OWN, TRUTH[:3])
    with pytest.raises(DataError, match="scores are meant"):
        measure_utility(OWN, answers("label"), TRUTH)
