"""Entropy: what a known substitute is unsure of is asked about."""

from __future__ import annotations

import numpy as np
import pytest
from victims_in_process import KnownVictim, brighter_half, half_images
from walks import Walk, halves, pool_of

from attack.strategies import find_strategy, rounds
from attack.strategies.substitute import entropy, probabilities

pytestmark = pytest.mark.timeout(60)


def test_the_images_nearest_to_even_are_asked_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounds, "FIRST_ROUND", 30)
    images, network = half_images(400, 0), halves()
    walked = Walk(find_strategy("entropy", [pool_of(images)], 60, 0), KnownVictim(brighter_half), lambda: network)
    walked.go([30, 30])
    first, second = (np.abs(brighter_half(part)[:, 0]) for part in walked.proposed)
    free = np.sort([gap for gap in np.abs(brighter_half(images)[:, 0]) if gap not in first])
    assert np.allclose(np.sort(second), free[:30])
    assert (np.diff(second) >= 0).all()


def test_entropy_is_that_of_shannon_and_certainty_has_none() -> None:
    chances = np.array([[1, 0, 0], [0.5, 0.5, 0], [1 / 3, 1 / 3, 1 / 3]], np.float32)
    assert np.allclose(entropy(chances), [0, np.log(2), np.log(3)], atol=1e-6)


def test_probabilities_of_huge_logits_are_numbers() -> None:
    network = halves()
    network.weights.data *= 1e4
    chances = probabilities(network, half_images(20, 0))
    assert np.isfinite(chances).all()
    assert np.allclose(chances.sum(axis=1), 1)
