"""Balancing: rare answers are sought until all classes have been answered alike."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from victims_in_process import KnownVictim, brighter_half, half_images
from walks import Walk, halves, pool_of

from attack.strategies import find_strategy, rounds
from attack.strategies.balanced import evened

pytestmark = pytest.mark.timeout(60)


def test_a_rare_class_catches_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounds, "FIRST_ROUND", 60)
    images = half_images(1200, 0)
    lower = brighter_half(images).argmax(1) == 1
    # One in ten is of the lower half.
    images = np.concatenate([images[~lower][:450], images[lower][:50]])[np.random.default_rng(0).permutation(500)]
    network = halves()
    walked = Walk(find_strategy("balanced", [pool_of(images)], 120, 0), KnownVictim(brighter_half), lambda: network)
    walked.go([60, 30, 20])
    first, second = (np.bincount(brighter_half(part).argmax(1), minlength=2) for part in walked.proposed[:2])
    assert first[1] < 15
    assert second.tolist() == [0, 30]
    # 50 of them were in the pool, and after all of those the others have their turn.
    assert brighter_half(walked.images).argmax(1).sum() == min(50, first[1] + 50)


def test_answers_end_up_even_where_the_substitute_is_right() -> None:
    predicted = np.random.default_rng(0).integers(0, 4, 2000)
    chances = np.eye(4, dtype=np.float32)[predicted]
    chosen = evened(chances, np.array([100, 10, 0, 50]), 400)
    answered = np.array([100, 10, 0, 50])
    assert (np.bincount(predicted[chosen], minlength=4) + answered).tolist() == [140, 140, 140, 140]
    assert predicted[chosen[:10]].tolist() == [2] * 10


def test_a_class_seen_nowhere_is_sought_where_it_is_likeliest() -> None:
    chances = np.tile(np.array([0.6, 0.4, 0.0], np.float32), (50, 1))
    chances[[7, 30, 11], 2] = [0.1, 0.3, 0.2]
    assert evened(chances, np.array([20, 20, 0]), 3).tolist() == [30, 11, 7]


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 60), st.integers(1, 6), st.integers(0, 99), st.data())
def test_it_always_finds_as_many_as_are_wanted(size: int, classes: int, seed: int, data: st.DataObject) -> None:
    rng = np.random.default_rng(seed)
    chances = rng.dirichlet(np.full(classes, 0.2), size).astype(np.float32)
    count = data.draw(st.integers(1, size))
    chosen = evened(chances, rng.integers(0, 50, classes), count)
    assert len(set(chosen.tolist())) == len(chosen) == count
