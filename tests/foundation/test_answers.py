"""Answer policies: what leaves the device, to the bit, and what it becomes as a training target."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from scipy.special import expit, logit

from foundation.answers import AnswerPolicy, Answers, concatenate
from foundation.errors import ExitCode, UsageError
from foundation.portable import gaussians, image_seeds, softmax

from .policy_vectors import POLICIES, inputs, load

KINDS = (
    *("label", "topk:1", "topk:2", "topk:5", "scores"),
    *("round:1", "round:3", "noise:0.2", "noise:1", "reverse_sigmoid:1,0.2", "reverse_sigmoid:100,100"),
    *("confident:0.4", "confident:1", "logits"),
)
logit_rows = arrays(
    np.float32, st.tuples(st.integers(1, 8), st.just(5)), elements=st.floats(-1e4, 1e4, width=32, allow_nan=False)
)

# Each example goes through every policy.
few = settings(max_examples=30, deadline=None)


def images_of(logits: NDArray[np.float32]) -> NDArray[np.uint8]:
    """An image for each row, of its own bytes."""
    return np.ascontiguousarray(logits).view(np.uint8).reshape(len(logits), -1, 1, 1)


def answers(policy: str, logits: NDArray[np.float32]) -> Answers:
    parsed = AnswerPolicy.parse(policy)
    labels, scores = parsed.apply(logits, images_of(logits))
    return Answers(parsed, logits.shape[1], labels, scores, np.arange(len(logits), dtype=np.uint32))


@pytest.mark.parametrize(
    "text",
    [
        *("label", "topk:1", "topk:42", "topk:9999", "scores", "logits", "round:1", "round:6", "noise:0.000001"),
        *("noise:0.1", "noise:1", "reverse_sigmoid:100,0.05", "confident:0.999999", "confident:1"),
    ],
)
def test_a_policy_is_read_back_from_what_it_prints(text: str) -> None:
    assert str(AnswerPolicy.parse(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        *("", "Label", "topk", "topk:", "topk:0", "topk:-1", "topk:01", "topk:1.5", "topk:99999", "topk:٣", " label"),
        *("label:", "scores:1", "logits:", "round", "round:0", "round:7", "round:2.5", "round:two", "noise:"),
        *("noise:0", "noise:nan", "noise:inf", "noise:1e-3", "noise:.1", "noise:0.", "noise:0.0000001", "noise:1.1"),
        *("noise:+0.1", "noise:0,1", "noise: 0.1", "noise:0.1\n", "reverse_sigmoid:1", "reverse_sigmoid:1,2,3"),
        *("reverse_sigmoid:0,1", "reverse_sigmoid:1,101", "reverse_sigmoid:,", "confident:-1", "confident:2"),
        *("topk:" + "9" * 400, "noise:0." + "1" * 400, "noise:1:2"),
    ],
)
def test_other_words_are_no_policy(text: str) -> None:
    with pytest.raises(UsageError, match="unknown answer policy") as caught:
        AnswerPolicy.parse(text)
    assert caught.value.exit_code == ExitCode.USAGE
    assert caught.value.hint is not None
    for kind in ("label", "topk:K", "scores", "round:D", "noise:S", "reverse_sigmoid:B,G", "confident:T", "logits"):
        assert kind in caught.value.hint


@pytest.mark.parametrize(
    ("text", "written"),
    [("noise:0.50", "noise:0.5"), ("topk:3.0", "topk:3"), ("confident:1.000000", "confident:1"), ("round:2.", None)],
)
def test_there_is_one_way_to_write_a_policy(text: str, written: str | None) -> None:
    if written is None:
        with pytest.raises(UsageError):
            AnswerPolicy.parse(text)
    else:
        assert AnswerPolicy.parse(text) == AnswerPolicy.parse(written)
        assert str(AnswerPolicy.parse(text)) == written


@given(st.integers(1, 100_000_000), st.integers(1, 100_000_000))
def test_every_number_of_a_policy_comes_back(beta: int, gamma: int) -> None:
    policy = AnswerPolicy("reverse_sigmoid", (beta / 1e6, gamma / 1e6))
    assert AnswerPolicy.parse(str(policy)) == policy


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


@few
@given(logit_rows)
def test_every_policy_gives_the_types_and_shapes_that_travel(logits: NDArray[np.float32]) -> None:
    for text in KINDS:
        policy = AnswerPolicy.parse(text)
        labels, scores = policy.apply(logits, images_of(logits))
        assert labels.dtype == np.uint16
        assert labels.shape == (len(logits), policy.width(5))
        assert (scores is None) == (text == "label")
        if scores is not None:
            assert scores.dtype == np.float32
            assert scores.shape == labels.shape
            assert text == "logits" or np.all((scores >= 0) & (scores <= 1))


@few
@given(logit_rows)
def test_label_and_topk_name_the_same_best_class(logits: NDArray[np.float32]) -> None:
    best = logits.argmax(axis=1).tolist()
    for text in ("label", "topk:1", "topk:5"):
        assert answers(text, logits).top1().tolist() == best


@few
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


# --- defended policies

UNSURE = np.log(np.array([[0.5, 0.3, 0.2], [0.9, 0.06, 0.04], [0.34, 0.33, 0.33]], np.float32))


def test_golden_vectors_come_out_to_the_bit() -> None:
    vectors = load()
    np.testing.assert_array_equal(inputs()[0], vectors.images)
    np.testing.assert_array_equal(inputs()[1].view(np.uint32), vectors.logits.view(np.uint32))
    np.testing.assert_array_equal(image_seeds(vectors.images), vectors.seeds)
    assert set(vectors.answers) == set(POLICIES)
    for policy, (labels, scores) in vectors.answers.items():
        found, told = AnswerPolicy.parse(policy).apply(vectors.logits, vectors.images)
        np.testing.assert_array_equal(found, labels)
        assert (told is None) == (scores is None)
        if told is not None and scores is not None:
            np.testing.assert_array_equal(told.view(np.uint32), scores.view(np.uint32))


@few
@given(logit_rows)
def test_the_best_class_stays_where_a_policy_says_so(logits: NDArray[np.float32]) -> None:
    _, scores = AnswerPolicy("scores").apply(logits)
    assert scores is not None
    for text in KINDS:
        given_answers = answers(text, logits)
        if given_answers.policy.keeps_top1:
            # Two logits may have one probability: any class that has the largest will do.
            told = scores[np.arange(len(logits)), given_answers.top1()]
            assert np.all((told == scores.max(axis=1)) | given_answers.refused)


@pytest.mark.parametrize("text", ["round:1", "noise:0.2", "reverse_sigmoid:3,1"])
def test_the_best_class_may_change_where_a_policy_does_not_promise_it(text: str) -> None:
    logits = np.random.default_rng(0).normal(0, 0.3, (500, 5)).astype(np.float32)
    assert not AnswerPolicy.parse(text).keeps_top1
    assert np.any(answers(text, logits).top1() != logits.argmax(axis=1))


@few
@given(logit_rows, st.integers(1, 6))
def test_rounded_probabilities_have_so_many_places_and_are_near(logits: NDArray[np.float32], decimals: int) -> None:
    told = answers(f"round:{decimals}", logits).scores
    _, scores = AnswerPolicy("scores").apply(logits)
    assert told is not None
    assert scores is not None
    np.testing.assert_array_equal(told, np.round(told.astype(np.float64), decimals).astype(np.float32))
    assert np.abs(told - scores).max() <= 0.5 * 10.0**-decimals + 1e-7


def test_a_confident_victim_tells_what_it_is_sure_of_and_refuses_the_rest() -> None:
    told = answers("confident:0.4", UNSURE)
    assert told.scores is not None
    np.testing.assert_allclose(told.scores, [[0.5, 0, 0], [0.9, 0, 0], [0, 0, 0]], rtol=1e-6)
    assert told.refused.tolist() == [False, False, True]
    assert told.top1().tolist()[:2] == [0, 0]


def test_what_a_confident_victim_left_out_is_spread_over_those_classes() -> None:
    targets = answers("confident:0.25", UNSURE).targets()
    np.testing.assert_allclose(targets[0], [0.5, 0.3, 0.2], rtol=1e-5)
    np.testing.assert_allclose(targets[1], [0.9, 0.05, 0.05], rtol=1e-5)


def test_a_refusal_is_no_target_but_no_division_by_zero_either() -> None:
    with np.errstate(all="raise"):
        np.testing.assert_allclose(answers("confident:1", UNSURE).targets(), np.full((3, 3), 1 / 3))


def test_only_probabilities_can_be_a_refusal() -> None:
    zeros = np.zeros((2, 3), np.float32)
    assert not answers("logits", zeros).refused.any()
    assert not answers("label", zeros).refused.any()
    assert not answers("topk:1", zeros).refused.any()


def test_logits_are_told_as_they_are_and_taught_as_their_softmax() -> None:
    logits = np.array([[1.5, -2e30, 3e38], [-0.0, 1e-45, 0]], np.float32)
    told = answers("logits", logits)
    assert told.scores is not None
    assert told.scores.tobytes() == logits.tobytes()
    np.testing.assert_allclose(told.targets(), [[0, 0, 1], [1 / 3] * 3], atol=1e-6)


def test_noise_is_the_image_s_own() -> None:
    policy = AnswerPolicy.parse("noise:0.1")
    images = np.random.default_rng(0).integers(0, 256, (400, 6, 5, 1), np.uint8)
    logits = np.zeros((400, 4), np.float32)
    _, once = policy.apply(logits, images)
    _, again = policy.apply(logits[::-1], images[::-1])
    assert once is not None
    assert again is not None
    np.testing.assert_array_equal(once, again[::-1])
    assert len(np.unique(once, axis=0)) == 400
    images[:, -1, -1, 0] ^= 1
    _, other = policy.apply(logits, images)
    assert other is not None
    assert np.all((other != once).any(axis=1))


def test_noise_has_the_spread_that_was_asked_for() -> None:
    images = np.random.default_rng(0).integers(0, 256, (4000, 6, 5, 1), np.uint8)
    _, scores = AnswerPolicy.parse("noise:0.02").apply(np.zeros((4000, 4), np.float32), images)
    assert scores is not None
    # Scaling to 1 takes the noise's mean over four classes away again: 0.02 * sqrt(3 / 4), and a little of the scale.
    assert scores.std(axis=0) == pytest.approx(np.full(4, 0.02 * np.sqrt(0.75)), rel=0.05)
    np.testing.assert_allclose(scores.mean(axis=0), 0.25, atol=2e-3)


def test_noise_without_a_secret_can_be_taken_off_again() -> None:
    """What docs/policies.md warns of: a thief that knows the policy has the probabilities back."""
    images = np.random.default_rng(0).integers(0, 256, (200, 4, 4, 1), np.uint8)
    logits = np.random.default_rng(1).normal(0, 1, (200, 4)).astype(np.float32)
    _, told = AnswerPolicy.parse("noise:0.05").apply(logits, images)
    assert told is not None
    noise = 0.05 * gaussians(image_seeds(images), 4)
    whole = (told > 0).all(axis=1)
    guessed = told * (1 + noise.sum(axis=1, keepdims=True)) - noise
    assert whole.mean() > 0.5
    np.testing.assert_allclose(guessed[whole], softmax(logits)[whole], atol=1e-6)


def test_noise_needs_the_images() -> None:
    with pytest.raises(ValueError, match="images"):
        AnswerPolicy.parse("noise:0.1").apply(UNSURE)


@few
@given(logit_rows, st.floats(0.01, 5), st.floats(0.01, 5))
def test_reverse_sigmoid_is_the_formula_of_the_paper(logits: NDArray[np.float32], beta: float, gamma: float) -> None:
    policy = AnswerPolicy("reverse_sigmoid", (beta, gamma))
    _, told = policy.apply(logits)
    p = softmax(logits)
    inside = np.clip(p, 1e-9, 1 - 1e-9)
    moved = np.clip(p - beta * (expit(gamma * logit(inside)) - 0.5), 0, 1)
    assert told is not None
    np.testing.assert_allclose(told, moved / moved.sum(axis=1, keepdims=True), atol=2e-7)


@pytest.mark.peer
@pytest.mark.parametrize("text", ["round:2", "confident:0.4", "reverse_sigmoid:1,0.2", "reverse_sigmoid:0.5,3"])
def test_art_disturbs_probabilities_alike(text: str) -> None:
    postprocessor = pytest.importorskip("art.defences.postprocessor")
    logits = np.random.default_rng(0).normal(0, 3, (500, 4)).astype(np.float32)
    policy = AnswerPolicy.parse(text)
    theirs = {
        "round": lambda: postprocessor.Rounded(2),
        "confident": lambda: postprocessor.HighConfidence(0.4),
        "reverse_sigmoid": lambda: postprocessor.ReverseSigmoid(*policy.parameters),
    }[policy.kind]()(softmax(logits))
    _, ours = policy.apply(logits)
    np.testing.assert_allclose(ours, theirs, atol=1e-6)


@few
@given(logit_rows)
def test_hardened_answers_are_what_label_would_have_said(logits: NDArray[np.float32]) -> None:
    for text in ("topk:2", "logits"):
        hard = answers(text, logits).hardened()
        assert (hard.policy, hard.scores) == (AnswerPolicy("label"), None)
        np.testing.assert_array_equal(hard.labels, answers("label", logits).labels)


def test_some_of_the_answers_are_answers() -> None:
    told = answers("scores", UNSURE)
    for rows in (np.array([True, False, True]), np.array([0, 2])):
        some = told.select(rows)
        assert len(some) == 2
        assert some.device_ns.tolist() == [0, 2]
        np.testing.assert_array_equal(some.targets(), told.targets()[[0, 2]])
