"""Marich's three sieves, each against what is known."""

from __future__ import annotations

import numpy as np
import pytest
from victims_in_process import KnownVictim, answer, brighter_half, half_images, numbered_images
from walks import Linear, Walk, halves, linear, pool_of

from attack.strategies import find_strategy, rounds
from attack.strategies.marich import _gradients, _mistakes, _spread
from attack.strategies.substitute import entropy, probabilities
from foundation.answers import AnswerPolicy

pytestmark = pytest.mark.timeout(60)


def test_what_it_asks_is_more_uncertain_than_the_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounds, "FIRST_ROUND", 40)
    images, network = half_images(400, 0), halves()
    walked = Walk(find_strategy("marich", [pool_of(images)], 80, 0), KnownVictim(brighter_half), lambda: network)
    walked.go([40, 40])
    chosen, everything = (entropy(probabilities(network, part)) for part in (walked.proposed[1], images))
    # 40 are chosen of the 62 or 63 most uncertain that are left.
    assert chosen.min() >= np.sort(everything)[::-1][40 + 63]


def test_gradients_point_where_the_entropy_grows() -> None:
    """Of two classes, entropy grows against the difference of the weights that speak for the likelier class."""
    network, images = halves(), half_images(60, 0)
    network.weights.data *= 0.01
    found = _gradients(network, images, np.random.default_rng(0))
    upper = brighter_half(images).argmax(1) == 0
    assert found.shape == (60, 64)
    assert np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-4)
    cosine = found @ found[np.flatnonzero(upper)[0]]
    assert (cosine[upper] > 0.99).all()
    assert (cosine[~upper] < -0.99).all()


def test_a_sure_substitute_gives_gradients_that_are_numbers() -> None:
    network = linear(3)
    network.weights.data *= 1e4
    assert np.isfinite(_gradients(network, numbered_images(8), np.random.default_rng(0))).all()


def test_every_cluster_gives_in_its_turn_the_nearest_to_its_centre_first() -> None:
    rng = np.random.default_rng(0)
    which = np.repeat([0, 1, 2], [80, 15, 5])
    distance = rng.permutation(100) / 1000
    points = (np.eye(3)[which] * 10 + distance[:, None] * rng.choice([-1, 1], (100, 3))).astype(np.float32)
    chosen = _spread(points, 12, 3, rng)
    assert np.bincount(which[chosen]).tolist() == [4, 4, 4]
    assert len(set(chosen.tolist())) == 12


def test_points_that_are_all_the_same_are_spread_without_a_cluster_too_many() -> None:
    assert len(_spread(np.zeros((7, 4), np.float32), 5, 3, np.random.default_rng(0))) == 5


@pytest.mark.parametrize("policy", ["label", "scores"])
def test_mistakes_are_where_victim_and_substitute_differ(policy: str) -> None:
    images = half_images(50, 0)
    logits = brighter_half(images)
    logits[[3, 17]] *= -1
    network = Linear(halves().weights.detach().numpy() * 255 / 128 / 8)
    assert set(_mistakes(network, images, answer(AnswerPolicy.parse(policy), logits))[:2].tolist()) == {3, 17}
