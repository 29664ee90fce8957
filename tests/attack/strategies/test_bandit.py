"""Knockoff's bandit: it prefers what pays, and no reward breaks it."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from victims_in_process import KnownVictim, answer, numbered_images
from walks import Linear, Walk, pool_of

from attack.strategies import find_strategy, rounds
from attack.strategies.bandit import GradientBandit, rewards
from foundation.answers import AnswerPolicy

pytestmark = pytest.mark.timeout(60)


def bandit(arms: int = 4) -> GradientBandit:
    return GradientBandit(np.zeros(arms), np.zeros(arms, np.int64))


def test_the_arm_that_pays_is_drawn_more_often() -> None:
    known, chance = bandit(), np.random.default_rng(0)
    for _ in range(6):
        arms = known.draw(np.full(4, 1000), 200, chance)
        known.learn(arms, (arms == 2).astype(np.float64))
    assert known.policy.argmax() == 2
    assert known.policy[2] > 0.5
    assert known.pulls.sum() == 1200


def test_one_step_is_the_papers() -> None:
    known = bandit(2)
    known.learn(np.array([0, 1]), np.array([1.0, 0.0]))
    # Baseline 0.5, rate 1: first +-0.5 * (1 - 0.5), then arm 1 with an advantage of -0.5 under the policy of then.
    second = np.exp(0.25) / (np.exp(0.25) + np.exp(-0.25))
    assert np.allclose(known.preferences, [0.25 + 0.5 * second, -0.25 - 0.5 * second])


@pytest.mark.parametrize("size", [1e3, -1e3, 1e6])
def test_no_reward_overflows_the_policy(size: float) -> None:
    known, chance = bandit(), np.random.default_rng(0)
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        known.learn(np.array([0, 1, 2, 3]), np.array([size, 0, 0, 0]))
        assert np.isfinite(known.policy).all()
        assert known.policy.sum() == pytest.approx(1)
        # What is left of the certain arm is drawn, and then the others.
        drawn = known.draw(np.array([3, 3, 3, 3]), 12, chance)
    assert np.bincount(drawn).tolist() == [3, 3, 3, 3]


def test_certainty_counts_only_where_answers_carry_scores() -> None:
    logits = np.array([[4, 0, 0], [0, 4, 0], [1, 0.9, 0], [0, 0, 1]], np.float32)
    expected, rows = np.full((3, 3), 1 / 3, np.float32), np.arange(1, 4)
    hard = rewards(answer(AnswerPolicy("label"), logits), rows, expected)
    # Class 0 was answered before: a further 0 adds nothing, and each loss is that of a third.
    assert hard.tolist() == [0.5, 0, 0.5]
    soft = rewards(answer(AnswerPolicy("scores"), logits), rows, expected)
    assert soft.argmax() == 0
    assert ((soft >= 0) & (soft <= 1)).all()


def test_what_the_substitute_did_not_expect_pays() -> None:
    logits = np.eye(2, dtype=np.float32)[[0, 0, 0, 0]]
    expected = np.array([[0.99, 0.01], [0.5, 0.5], [0.0, 1.0]], np.float32)
    found = rewards(answer(AnswerPolicy("label"), logits), np.arange(1, 4), expected)
    assert np.isfinite(found).all()
    assert found[2] > found[1] > found[0]


def dark_and_bright(count: int) -> NDArray[np.uint8]:
    images = numbered_images(count) // 8
    images[::2] += 200
    return images


def test_the_kind_of_image_that_surprises_is_asked_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """A substitute that takes everything for class 0, and a victim that says 1 to what is bright."""
    monkeypatch.setattr(rounds, "FIRST_ROUND", 60)
    monkeypatch.setattr("attack.strategies.bandit.ARMS", 2)

    def victim(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        return np.eye(2, dtype=np.float32)[(images.mean(axis=(1, 2, 3)) > 128).astype(int)]

    biased = Linear(np.zeros((256, 2)), (3.0, 0.0))
    strategy = find_strategy("knockoff", [pool_of(dark_and_bright(1200))], 400, 0)
    walked = Walk(strategy, KnownVictim(victim), lambda: biased).go([60] * 6)
    bright = [(part.mean(axis=(1, 2, 3)) > 128).mean() for part in walked.proposed]
    assert max(bright[:2]) < 0.7
    assert min(bright[3:5]) > 0.7
