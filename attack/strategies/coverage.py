"""Coverage: images that the substitute places far from everything that was asked."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import pairwise_distances_argmin_min

from attack.strategies.base import State
from attack.strategies.deepfool import margins
from attack.strategies.rounds import RoundStrategy, Rows
from attack.strategies.substitute import probabilities

# DFAL's distances are dear: they are taken of no more candidates than this, or twice as many as are to be chosen.
MOST_FOOLED = 4_000
# DFAL hands k-center so many for each that is to be chosen (rho in the paper, there the whole budget).
PRESELECTED = 2


class KCenterStrategy(RoundStrategy):
    """Greedy k-center among the substitute's probability vectors (Pal et al. 2020, "ActiveThief", k-center strategy).

    The centres are the images already asked; each further one is the candidate that is farthest from its nearest
    centre (Sener & Savarese 2018, "A Core-Set Approach", algorithm 1).
    """

    def choose(self, state: State, candidates: Rows, count: int, chance: np.random.Generator) -> Rows:
        """See `RoundStrategy.choose`."""
        network = state.substitute()
        asked, _ = state.labelled
        chances = probabilities(network, self.pool.take(candidates))
        return candidates[farthest(chances, probabilities(network, asked), count)]


class DeepFoolKCenterStrategy(RoundStrategy):
    """The candidates nearest to a boundary of the substitute, and k-center among them.

    Pal et al. 2020, "ActiveThief", strategy DFAL + K-center; DFAL is Ducoffe & Precioso 2018, "Adversarial Active
    Learning for Deep Networks: a Margin Based Approach", section 3. Of more candidates than DeepFool is run on, those
    stay whose two best logits are closest, its own first guess of a margin.
    """

    def choose(self, state: State, candidates: Rows, count: int, chance: np.random.Generator) -> Rows:
        """See `RoundStrategy.choose`."""
        network = state.substitute()
        asked, _ = state.labelled
        images = self.pool.take(candidates)
        chances = probabilities(network, images)
        best = np.sort(chances, axis=1)[:, -2:]
        near = np.argsort(best[:, -1] - best[:, 0], kind="stable")[: max(MOST_FOOLED, PRESELECTED * count)]
        near = near[np.argsort(margins(network, images[near]), kind="stable")[: PRESELECTED * count]]
        return candidates[near[farthest(chances[near], probabilities(network, asked), count)]]


def farthest(points: NDArray[np.float32], centres: NDArray[np.float32], count: int) -> NDArray[np.int64]:
    """Greedy k-center.

    Args:
        points: float32 [N, D], N >= count.
        centres: float32 [M, D], M >= 1, that are there already.

    Returns:
        int64 [count] of N, the farthest first.
    """
    _, distance = pairwise_distances_argmin_min(points, centres)
    chosen = np.empty(count, np.int64)
    for turn in range(count):
        chosen[turn] = distance.argmax()
        distance = np.minimum(distance, np.linalg.norm(points - points[chosen[turn]], axis=1))
        # Where all that is left lies on a centre, it is still not chosen twice.
        distance[chosen[: turn + 1]] = -1
    return chosen
