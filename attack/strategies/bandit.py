"""Knockoff's bandit: which kind of image pays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax
from sklearn.cluster import KMeans
from sklearn.metrics import pairwise_distances_argmin

from attack.ledger import image_hash
from attack.strategies.base import State
from attack.strategies.packing import pack, unpack
from attack.strategies.rounds import RoundStrategy, Rows
from attack.strategies.substitute import probabilities
from attack.strategies.thumbnails import thumbnails
from foundation.answers import Answers

ARMS = 16


@dataclass
class GradientBandit:
    """Draws arms by preference (Orekondy et al. 2019, "Knockoff Nets", section 4.1.2).

    Attributes:
        preferences: float64 [arms], H in the paper.
        pulls: int64 [arms], how often each arm was rewarded.
    """

    preferences: NDArray[np.float64]
    pulls: NDArray[np.int64]

    @property
    def policy(self) -> NDArray[np.float64]:
        """Probability of each arm: the softmax of the preferences, shifted so that none overflows."""
        return np.asarray(softmax(self.preferences))

    def learn(self, arms: NDArray[np.int64], rewards: NDArray[np.float64]) -> None:
        """Take the rewards of a block, both [N], one after the other.

        The paper's update, with a learning rate of one over the arm's pulls; the baseline is the block's mean, where
        the paper, which learns after every query, takes the mean of the last 25.
        """
        for arm, advantage in zip(arms.tolist(), (rewards - rewards.mean()).tolist(), strict=True):
            self.pulls[arm] += 1
            rate, policy = 1 / self.pulls[arm], self.policy
            self.preferences -= rate * advantage * policy
            self.preferences[arm] += rate * advantage

    def draw(self, stock: NDArray[np.int64], count: int, chance: np.random.Generator) -> NDArray[np.int64]:
        """Draw arms, int64 [count], none more often than its stock, int64 [arms], lasts; the stocks hold `count`."""
        left = stock.copy()
        drawn: list[int] = []
        while len(drawn) < count:
            policy = np.where(left > 0, self.policy, 0)
            if policy.sum() <= 0:
                policy = np.where(left > 0, 1.0, 0.0)
            for arm in chance.choice(len(left), count - len(drawn), p=policy / policy.sum()).tolist():
                if left[arm]:
                    left[arm] -= 1
                    drawn.append(arm)
        return np.array(drawn, np.int64)


class KnockoffStrategy(RoundStrategy):
    """The adaptive strategy of Knockoff Nets (Orekondy et al. 2019, section 4.1.2).

    There the pool's class labels are the arms. A thief's pool of medical images has none, so the arms are clusters of
    how the images look. The bandit learns in blocks, a round at a time, from what the substitute expected of the block
    before it had seen it.
    """

    def choose(self, state: State, candidates: Rows, count: int, chance: np.random.Generator) -> Rows:
        """See `RoundStrategy.choose`."""
        images = self.pool.take(candidates)
        looks = thumbnails(images)
        centres, bandit = self._learnt(state, looks)
        arms = pairwise_distances_argmin(looks, centres)
        drawn = bandit.draw(np.bincount(arms, minlength=len(centres)), count, chance)
        chosen = np.empty(count, np.int64)
        for arm in np.unique(drawn):
            turns = drawn == arm
            chosen[turns] = np.flatnonzero(arms == arm)[: turns.sum()]
        note = pack(
            centres=centres,
            preferences=bandit.preferences,
            pulls=bandit.pulls,
            images=np.frombuffer(b"".join(map(image_hash, images[chosen])), np.uint8).reshape(count, -1),
            arms=drawn,
            expected=probabilities(state.substitute(), images[chosen]),
        )
        state.notes.keep(self._key(state, self._round), note)
        return candidates[chosen]

    def _learnt(self, state: State, looks: NDArray[np.float32]) -> tuple[NDArray[np.float32], GradientBandit]:
        """Centres of the clusters, float32 [arms, D], and what the bandit knows after the last round's answers."""
        kept = state.notes.note(self._key(state, self._round - 1))
        if kept is None:
            arms = min(ARMS, len(np.unique(looks, axis=0)))
            centres = KMeans(arms, n_init=1, random_state=self.seed % 2**32).fit(looks).cluster_centers_
            return centres.astype(np.float32), GradientBandit(np.zeros(arms), np.zeros(arms, np.int64))
        note = unpack(kept)
        bandit = GradientBandit(note["preferences"], note["pulls"])
        images, answers = state.labelled
        turns = {bytes(image): turn for turn, image in enumerate(note["images"])}
        # Images that were asked before are not in the thief's hands twice.
        first = max(0, len(images) - len(turns))
        rows = [(turns[found], row) for row in range(first, len(images)) if (found := image_hash(images[row])) in turns]
        if rows:
            order, answered = np.array(rows, np.int64).T
            bandit.learn(note["arms"][order], rewards(answers, answered, note["expected"][order]))
        return note["centres"], bandit

    @staticmethod
    def _key(state: State, number: int) -> str:
        return f"part {state.part} bandit {number}"


def rewards(answers: Answers, rows: NDArray[np.int64], expected: NDArray[np.float32]) -> NDArray[np.float64]:
    """What the answers of a block were worth, float64 [N], the mean of what there is of three, each brought to [0, 1].

    Certainty (the gap between the victim's two best classes), diversity (how much more of each class than on average of
    the answers before), loss (the cross-entropy of the substitute's expectation). Under hard labels every answer is
    equally certain, so certainty says nothing and is left out.

    Args:
        answers: all so far.
        rows: int64 [N] of them that are the block, ascending.
        expected: float32 [N, classes], the substitute's probabilities before it learnt the answers.
    """
    targets = answers.targets().astype(np.float64)
    block, before = targets[rows], targets[: rows[0]]
    average = before.mean(axis=0) if len(before) else np.full(block.shape[1], 1 / block.shape[1])
    found = [np.maximum(0, block - average).sum(axis=1), -(block * np.log(np.maximum(expected, 1e-12))).sum(axis=1)]
    if answers.scores is not None and block.shape[1] > 1:
        best = np.sort(block, axis=1)
        found.append(best[:, -1] - best[:, -2])
    return np.asarray(np.mean([_unit(values) for values in found], axis=0), np.float64)


def _unit(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Brought to [0, 1]; all the same is 0."""
    span = np.ptp(values)
    return (values - values.min()) / span if span > 0 else np.zeros_like(values)
