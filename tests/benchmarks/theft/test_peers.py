"""ART's extraction attacks as the benchmark runs them: they learn, are counted at the device, and repeat themselves."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from attack.oracle import Oracle
from benchmarks.theft.peers import PeerTheft, art_copycat, art_knockoff
from foundation.answers import AnswerPolicy, Answers
from foundation.errors import DataError
from victim.training import predict

pytest.importorskip("art.estimators", reason="wants ART: pip install 'edgecat[art]'")

pytestmark = [pytest.mark.peer, pytest.mark.timeout(120)]


class BrighterHalf:
    """Two classes: which half of a 32 x 32 image is brighter, the upper (0) or the lower (1); answers labels only."""

    identity, policy, classes, image_shape = "ab" * 32, AnswerPolicy("label"), 2, (32, 32, 1)

    def __init__(self) -> None:
        self.asked: list[NDArray[np.uint8]] = []

    def query(self, images: NDArray[np.uint8]) -> Answers:
        self.asked.append(images)
        labels = brighter_half(images).astype(np.uint16)[:, None]
        return Answers(self.policy, 2, labels, None, np.ones(len(images), np.uint32))


def brighter_half(images: NDArray[np.uint8]) -> NDArray[np.int64]:
    """int64 [N] of uint8 [N, 32, 32, 1]."""
    upper, lower = (images[:, rows].mean(axis=(1, 2, 3)) for rows in (slice(16), slice(16, 32)))
    return np.asarray(lower > upper, np.int64)


def half_images(count: int, seed: int) -> NDArray[np.uint8]:
    rng = np.random.default_rng(seed)
    images = rng.normal(110, 20, (count, 2, 16, 32, 1))
    images[np.arange(count), rng.integers(0, 2, count)] += rng.uniform(20, 80, (count, 1, 1, 1))
    return np.clip(images.reshape(count, 32, 32, 1), 0, 255).astype(np.uint8)


POOL = half_images(120, seed=0)


def adaptive(victim: Oracle, budget: int, labels: NDArray[np.int64] | None, seed: int = 0) -> PeerTheft:
    return art_knockoff(victim, POOL, budget, "plain", 10, seed, sampling="adaptive", labels=labels)


def weights(theft: PeerTheft) -> NDArray[np.float32]:
    return torch.cat([parameter.flatten() for parameter in theft.network.parameters()]).detach().numpy()


def agreement(theft: PeerTheft) -> float:
    held_out = half_images(200, seed=9)
    return float((predict(theft.network, held_out).argmax(1) == brighter_half(held_out)).mean())


def test_copycat_asks_its_budget_once_each_and_learns() -> None:
    victim = BrighterHalf()
    theft = art_copycat(victim, POOL, 100, "plain", 20, seed=0)
    assert (theft.queries, theft.distinct) == (100, 100) == (sum(map(len, victim.asked)),) * 2
    assert len(victim.asked) == 1, "a peer must not pay for batches of 64 what the channel does in one"
    assert agreement(theft) > 0.9
    assert 0 < theft.seconds_query < theft.seconds
    assert not theft.network.training


def test_random_knockoff_with_hard_labels_is_copycat() -> None:
    copycat = art_copycat(BrighterHalf(), POOL, 60, "plain", 2, seed=3)
    knockoff = art_knockoff(BrighterHalf(), POOL, 60, "plain", 2, seed=3)
    np.testing.assert_array_equal(weights(copycat), weights(knockoff))


def test_adaptive_knockoff_asks_one_by_one_and_again() -> None:
    victim = BrighterHalf()
    theft = adaptive(victim, 120, brighter_half(POOL))
    assert [len(images) for images in victim.asked] == [1] * 120
    assert theft.queries == 120 > theft.distinct
    assert agreement(theft) > 0.85


def test_a_class_that_the_pool_lacks_is_no_arm() -> None:
    assert adaptive(BrighterHalf(), 10, brighter_half(POOL) * 2).queries == 10


def test_a_peer_repeats_itself_by_seed_and_leaves_chance_as_it_was() -> None:
    np.random.seed(11)
    torch.manual_seed(11)
    thefts = [adaptive(BrighterHalf(), 12, brighter_half(POOL), seed) for seed in (1, 1, 2)]
    drawn = np.random.random(), float(torch.rand(1))
    np.random.seed(11)
    torch.manual_seed(11)
    assert drawn == (np.random.random(), float(torch.rand(1)))
    np.testing.assert_array_equal(weights(thefts[0]), weights(thefts[1]))
    assert not np.array_equal(weights(thefts[0]), weights(thefts[2]))


def test_what_art_would_only_warn_of_is_an_error() -> None:
    victim = BrighterHalf()
    with pytest.raises(DataError, match="121"):
        art_copycat(victim, POOL, 121, "plain", 1, seed=0)
    with pytest.raises(DataError, match="121"):
        art_knockoff(victim, POOL, 121, "plain", 1, seed=0)
    with pytest.raises(DataError, match="arms"):
        adaptive(victim, 10, None)
    assert not victim.asked
