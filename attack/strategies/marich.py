"""Marich: uncertain, then diverse, then like what the substitute gets wrong."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import entr
from sklearn.cluster import KMeans
from sklearn.metrics import pairwise_distances_argmin_min
from torch import Tensor, nn

from attack.gradients import slope
from attack.strategies.base import State
from attack.strategies.rounds import RoundStrategy, Rows
from attack.strategies.substitute import entropy, in_batches, probabilities
from attack.strategies.thumbnails import thumbnails
from foundation.answers import Answers

# What each sieve lets through of what the one before it did (gamma 1 and gamma 2).
DIVERSE = LIKE_MISTAKES = 0.8
# Gradients are compared through a random projection to so many values, which keeps distances (Johnson-Lindenstrauss).
PROJECTED = 64
# Share of the answered images that count as mistakes.
MISTAKEN = 0.1


class MarichStrategy(RoundStrategy):
    """Three sieves in a row (Karmakar & Basu 2023, "Marich", algorithm 1).

    Entropy sampling: the candidates of the highest predictive entropy. Entropy-gradient sampling: of these, the ones
    nearest to the centres of clusters of the entropy's gradient by the image; here each cluster gives in its turn,
    where a sum over all centres would favour the middle between them. Loss sampling: of these, the ones that look most
    like answered images on which the substitute is most wrong; here by the nearest of them, and on thumbnails.
    """

    def choose(self, state: State, candidates: Rows, count: int, chance: np.random.Generator) -> Rows:
        """See `RoundStrategy.choose`."""
        network = state.substitute()
        asked, answers = state.labelled
        images = self.pool.take(candidates)
        diverse = round(count / LIKE_MISTAKES)
        kept = np.argsort(-entropy(probabilities(network, images)), kind="stable")[: round(diverse / DIVERSE)]
        kept = kept[_spread(_gradients(network, images[kept], chance), diverse, answers.classes, chance)]
        wrong = asked[_mistakes(network, asked, answers)]
        _, distance = pairwise_distances_argmin_min(thumbnails(images[kept]), thumbnails(wrong))
        return candidates[kept[np.argsort(distance, kind="stable")[:count]]]


def _gradients(network: nn.Module, images: NDArray[np.uint8], chance: np.random.Generator) -> NDArray[np.float32]:
    """The predictive entropy's gradient by each image, projected, float32 [N, PROJECTED], of length 1 or 0."""
    pixels = images[0].size
    projection = torch.from_numpy(chance.normal(size=(pixels, PROJECTED)).astype(np.float32))

    def uncertain(logits: Tensor) -> Tensor:
        chances = logits.softmax(dim=1)
        return -(chances * chances.clamp_min(1e-12).log()).sum(dim=1)

    found = in_batches(images, lambda x: slope(network, x, uncertain).flatten(1) @ projection)
    length = np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-12)
    return np.asarray(found / length, np.float32)


def _spread(points: NDArray[np.float32], count: int, clusters: int, chance: np.random.Generator) -> NDArray[np.int64]:
    """Rows int64 [count] of points [N, D]: of each cluster in turn the one nearest to its centre."""
    count = min(count, len(points))
    clusters = min(clusters, len(np.unique(points, axis=0)))
    found = KMeans(clusters, n_init=1, random_state=int(chance.integers(2**31))).fit(points)
    distance = np.linalg.norm(points - found.cluster_centers_[found.labels_], axis=1)
    turn = np.empty(len(points), np.int64)
    for cluster in range(clusters):
        members = np.flatnonzero(found.labels_ == cluster)
        turn[members[np.argsort(distance[members], kind="stable")]] = np.arange(len(members))
    return np.lexsort((distance, turn))[:count]


def _mistakes(network: nn.Module, images: NDArray[np.uint8], answers: Answers) -> NDArray[np.int64]:
    """Rows of the answered images on which the substitute differs most from the victim, in Kullback-Leibler's sense."""
    targets = answers.targets()
    said = np.maximum(probabilities(network, images), 1e-12)
    loss = -(targets * np.log(said)).sum(axis=1) - entr(targets).sum(axis=1)
    return np.argsort(-loss, kind="stable")[: max(answers.classes, round(MISTAKEN * len(images)))]
