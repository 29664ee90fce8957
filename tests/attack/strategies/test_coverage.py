"""Coverage and margins: every cluster is met, nothing twice; DeepFool's distances against a known boundary."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn
from victims_in_process import KnownVictim, brighter_half, fixed_logits, half_images, numbered_images
from walks import Walk, halves, linear, pool_of

from attack.strategies import coverage, find_strategy, rounds
from attack.strategies.coverage import farthest
from attack.strategies.deepfool import margins
from attack.strategies.substitute import probabilities

pytestmark = pytest.mark.timeout(60)


def clusters() -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """500 points in 8 tight clusters far apart, most of them in the first; and which is which."""
    rng = np.random.default_rng(0)
    which = np.where(rng.random(500) < 0.9, 0, rng.integers(0, 8, 500))
    corners = np.eye(8)[which] * 10
    return (corners + rng.normal(size=(500, 8)) * 0.01).astype(np.float32), which


def test_k_center_meets_every_cluster_before_any_again() -> None:
    points, which = clusters()
    chosen = farthest(points, points[which == 0][:1], 7)
    assert sorted(which[chosen].tolist()) == list(range(1, 8))


def test_each_choice_is_the_farthest_from_all_before() -> None:
    points = np.random.default_rng(1).normal(size=(60, 3)).astype(np.float32)
    chosen = farthest(points, points[:2], 20)
    for turn, row in enumerate(chosen):
        centres = np.concatenate([points[:2], points[chosen[:turn]]])
        distance = np.linalg.norm(points[:, None] - centres[None], axis=2).min(axis=1)
        assert distance[row] == pytest.approx(distance.max(), rel=1e-5)


def test_points_that_are_all_the_same_are_chosen_once_each() -> None:
    same = np.ones((9, 3), np.float32)
    assert sorted(farthest(same, same[:1], 9).tolist()) == list(range(9))


def test_k_center_spreads_further_than_chance(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounds, "FIRST_ROUND", 30)
    pool, network = pool_of(numbered_images(400)), linear()
    gaps = {}
    for name in ("kcenter", "random"):
        walked = Walk(find_strategy(name, [pool], 60, 0), KnownVictim(fixed_logits(3), 3), lambda: network).go([30, 30])
        asked, everything = probabilities(network, walked.images), probabilities(network, numbered_images(400))
        gaps[name] = np.linalg.norm(everything[:, None] - asked[None], axis=2).min(axis=1).max()
    assert gaps["kcenter"] < 0.7 * gaps["random"]


# --- DeepFool


def test_the_margin_of_a_linear_network_is_its_distance_from_the_boundary() -> None:
    network, images = linear(2), numbered_images(40)
    weights = network.weights.detach().numpy()
    normal = weights[:, 0] - weights[:, 1]
    distance = np.abs((images.reshape(40, -1) / 255 - 0.5) @ normal) / np.linalg.norm(normal)
    assert np.allclose(margins(network, images), distance, rtol=0.04, atol=1e-3)


def test_the_nearest_of_several_boundaries_counts() -> None:
    network, images = linear(3), numbered_images(40)
    weights, pixels = network.weights.detach().numpy(), images.reshape(40, -1) / 255 - 0.5
    logits = pixels @ weights
    own = logits.argmax(1)
    nearest = [
        min(
            (logits[row, own[row]] - logits[row, k]) / np.linalg.norm(weights[:, own[row]] - weights[:, k])
            for k in range(3)
            if k != own[row]
        )
        for row in range(40)
    ]
    assert np.allclose(margins(network, images), nearest, rtol=0.04, atol=1e-3)


def test_a_network_without_slope_or_with_one_class_has_no_boundary_near() -> None:
    flat = linear(3)
    flat.weights.data.zero_()
    assert not np.isnan(margins(flat, numbered_images(5))).any()
    assert np.isinf(margins(Constant(), numbered_images(5))).all()
    assert np.isinf(margins(linear(1), numbered_images(5))).all()


class Constant(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.flatten(1)[:, :3] * 0 + torch.tensor([0.0, 1.0, 2.0])


def test_dfal_asks_near_the_boundary(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounds, "FIRST_ROUND", 30)
    monkeypatch.setattr(coverage, "MOST_FOOLED", 100)
    images, network = half_images(400, 0), halves()
    strategy = find_strategy("dfal_kcenter", [pool_of(images)], 60, 0)
    walked = Walk(strategy, KnownVictim(brighter_half), lambda: network).go([30, 30])
    first, second = (np.abs(brighter_half(part)[:, 0]) for part in walked.proposed)
    free = np.sort([gap for gap in np.abs(brighter_half(images)[:, 0]) if gap not in first])
    # Twice as many as are chosen are preselected.
    assert second.max() <= free[59] + 1e-6
