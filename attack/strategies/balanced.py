"""Class-balanced querying: the victim's rare answers are looked for first."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from attack.strategies.base import State
from attack.strategies.rounds import RoundStrategy, Rows
from attack.strategies.substitute import probabilities


class BalancedStrategy(RoundStrategy):
    """Evens out the answers: next comes an image that the substitute takes for the class that was answered least.

    The house's own. A pool that the victim sorts into few classes teaches little of the others: Correia-Silva et al.
    2018, "Copycat CNN", section III, balance their labelled set after asking by repeating images; here the budget is
    spent so that it is balanced. A class that the substitute sees nowhere is looked for among the images to which it
    gives the highest probability of it.
    """

    def choose(self, state: State, candidates: Rows, count: int, chance: np.random.Generator) -> Rows:
        """See `RoundStrategy.choose`."""
        _, answers = state.labelled
        chances = probabilities(state.substitute(), self.pool.take(candidates))
        answered = np.bincount(answers.top1()[~answers.refused], minlength=answers.classes)
        return candidates[evened(chances, answered, count)]


def evened(chances: NDArray[np.float32], answered: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Choose so that each class has an equal share of all answers, if the substitute is right.

    Args:
        chances: float32 [N, classes], N >= count.
        answered: int64 [classes], answers so far.

    Returns:
        int64 [count] of N, in the order in which they are to be asked.
    """
    hoped, queues = answered.copy(), {}
    free = np.ones(len(chances), bool)
    predicted = chances.argmax(axis=1)
    chosen: list[int] = []
    while len(chosen) < count:
        rarest = int(hoped.argmin())
        if rarest not in queues:
            queues[rarest] = _queue(chances[:, rarest], predicted == rarest)
        chosen.append(next(row for row in queues[rarest] if free[row]))
        free[chosen[-1]] = False
        hoped[rarest] += 1
    return np.array(chosen, np.int64)


def _queue(chance: NDArray[np.float32], predicted: NDArray[np.bool_]) -> Iterator[int]:
    """The images of a class as they come, since the surest of them teach the least; then those likeliest to be it."""
    others = np.flatnonzero(~predicted)
    return iter([*np.flatnonzero(predicted).tolist(), *others[np.argsort(-chance[others], kind="stable")].tolist()])
