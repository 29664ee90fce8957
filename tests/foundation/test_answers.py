"""Answer policies: what leaves the device, to the bit, and what it becomes as a training target."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from foundation.answers import AnswerPolicy, Answers, concatenate
from foundation.errors import ExitCode, UsageError

KINDS = ("label", "topk:1", "topk:2", "topk:5", "scores")
logit_rows = arrays(
    np.float32, st.tuples(st.integers(1, 8), st.just(5)), elements=st.floats(-1e4, 1e4, width=32, allow_nan=False)
)


def answers(policy: str, logits: NDArray[np.float32]) -> Answers:
    parsed = AnswerPolicy.parse(policy)
    labels, scores = parsed.apply(logits)
    return Answers(parsed, logits.shape[1], labels, scores, np.arange(len(logits), dtype=np.uint32))


@pytest.mark.parametrize("text", ["label", "topk:1", "topk:42", "topk:9999", "scores"])
def test_a_policy_is_read_back_from_what_it_prints(text: str) -> None:
    assert str(AnswerPolicy.parse(text)) == text


@pytest.mark.parametrize(
    "text", ["", "Label", "topk", "topk:", "topk:0", "topk:-1", "topk:01", "topk:1.5", "topk:99999", "topk:٣", " label"]
)
def test_other_words_are_no_policy(text: str) -> None:
    with pytest.raises(UsageError, match="unknown answer policy") as caught:
        AnswerPolicy.parse(text)
    assert caught.value.exit_code == ExitCode.USAGE


def test_a_policy_cannot_name_more_classes_than_there_are() -> None:
    with pytest.raises(UsageError, match="more than the 4 classes"):
        AnswerPolicy.parse("topk:5").width(4)
    assert AnswerPolicy.parse("topk:4").width(4) == 4


def test_labels_of_16_bits_cannot_name_more_than_65535_classes() -> None:
    assert AnswerPolicy("scores").width(65_535) == 65_535
    with pytest.raises(UsageError, match="16 bits"):
        AnswerPolicy("label").width(65_536)


@pytest.mark.parametrize("policy", ["label", "topk:3", "topk:2"])
def test_ties_go_to_the_lower_class(policy: str) -> None:
    logits = np.array([[1, 3, 3, 3], [2, 2, 2, 2], [0, -0.0, -1, 0]], np.float32)
    labels, _ = AnswerPolicy.parse(policy).apply(logits)
    best = [[1, 2, 3], [0, 1, 2], [0, 1, 3]]
    assert labels.tolist() == [row[: labels.shape[1]] for row in best]


def test_many_ties_among_many_classes_stay_in_class_order() -> None:
    logits = np.random.default_rng(0).integers(0, 5, (20, 300)).astype(np.float32)
    labels, _ = AnswerPolicy.parse("topk:300").apply(logits)
    expected = [sorted(range(300), key=lambda k, row=row: (-row[k], k)) for row in logits.tolist()]
    assert labels.tolist() == expected


def test_ties_of_scores_go_to_the_lower_class() -> None:
    assert answers("scores", np.array([[0, 5, 5, 1]], np.float32)).top1().tolist() == [1]


def test_topk_stands_best_first_with_the_probabilities_of_those_classes() -> None:
    logits = np.log(np.array([[0.1, 0.4, 0.2, 0.3]], np.float32))
    labels, scores = AnswerPolicy.parse("topk:3").apply(logits)
    assert labels.tolist() == [[1, 3, 2]]
    assert scores is not None
    np.testing.assert_allclose(scores, [[0.4, 0.3, 0.2]], rtol=1e-6)


def test_the_softmax_of_huge_logits_is_finite() -> None:
    logits = np.array([[3e38, -3e38, 0], [3e38, 3e38, 3e38], [1e4, 1e4 - 1, -1e4]], np.float32)
    with np.errstate(over="ignore"):
        _, scores = AnswerPolicy("scores").apply(logits)
    assert scores is not None
    np.testing.assert_allclose(scores[0], [1, 0, 0])
    np.testing.assert_allclose(scores[1], [1 / 3] * 3, rtol=1e-6)
    np.testing.assert_allclose(scores.sum(axis=1), 1, rtol=1e-6)


@given(logit_rows)
def test_every_policy_gives_the_types_and_shapes_that_travel(logits: NDArray[np.float32]) -> None:
    for text in KINDS:
        policy = AnswerPolicy.parse(text)
        labels, scores = policy.apply(logits)
        assert labels.dtype == np.uint16
        assert labels.shape == (len(logits), policy.width(5))
        assert (scores is None) == (text == "label")
        if scores is not None:
            assert scores.dtype == np.float32
            assert scores.shape == labels.shape
            assert np.all((scores >= 0) & (scores <= 1))


@given(logit_rows)
def test_label_and_topk_name_the_same_best_class(logits: NDArray[np.float32]) -> None:
    best = logits.argmax(axis=1).tolist()
    for text in ("label", "topk:1", "topk:5"):
        assert answers(text, logits).top1().tolist() == best


@given(logit_rows)
def test_targets_are_rows_that_sum_to_1(logits: NDArray[np.float32]) -> None:
    for text in KINDS:
        targets = answers(text, logits).targets()
        assert targets.dtype == np.float32
        assert targets.shape == (len(logits), 5)
        assert np.all(targets >= 0)
        np.testing.assert_allclose(targets.sum(axis=1), 1, rtol=1e-5)


def test_hard_labels_become_one_hot_rows() -> None:
    assert answers("label", np.array([[0, 1, 0], [5, 1, 0]], np.float32)).targets().tolist() == [[0, 1, 0], [1, 0, 0]]


def test_what_topk_does_not_tell_is_spread_over_the_other_classes() -> None:
    logits = np.log(np.array([[0.6, 0.05, 0.3, 0.05]], np.float32))
    np.testing.assert_allclose(answers("topk:2", logits).targets(), [[0.6, 0.05, 0.3, 0.05]], rtol=1e-5)
    np.testing.assert_allclose(answers("topk:1", logits).targets(), [[0.6] + [0.4 / 3] * 3], rtol=1e-5)


@pytest.mark.parametrize("policy", KINDS)
def test_joined_parts_are_the_whole(policy: str) -> None:
    logits = np.random.default_rng(0).normal(size=(7, 5)).astype(np.float32)
    joined = concatenate([answers(policy, logits[:3]), answers(policy, logits[3:4]), answers(policy, logits[4:])])
    whole = answers(policy, logits)
    assert len(joined) == 7
    assert joined.device_ns.tolist() == [0, 1, 2, 0, 0, 1, 2]
    np.testing.assert_array_equal(joined.labels, whole.labels)
    np.testing.assert_array_equal(joined.targets(), whole.targets())


def test_nothing_cannot_be_joined() -> None:
    with pytest.raises(ValueError, match="no answers"):
        concatenate([])
