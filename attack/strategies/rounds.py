"""Active learning: the thief trains a substitute on what it has, lets it choose, asks, and trains again."""

from __future__ import annotations

from abc import abstractmethod

import numpy as np
from numpy.typing import NDArray

from attack.pools import Pool
from attack.strategies.base import NOTHING, Proposal, State, Strategy

Rows = NDArray[np.int64]

# The first round is asked at random; each further one adds half of what was paid for before it.
FIRST_ROUND = 250
GROWTH = 0.5
# No more candidates are judged in a round: choosing must stay cheap beside learning.
MOST_CANDIDATES = 20_000
# Of a pool without end so many images are made for each that is asked about.
ENDLESS_FACTOR = 8


class RoundStrategy(Strategy):
    """Chooses rows of a pool, round by round.

    The rows of a round are noted before they are asked: a resumed attack reads them and trains no substitute again.

    Args:
        pool: the unlabelled images.
        budget: the largest number of queries it will be asked for.
        seed: of this thief.
    """

    trains: bool = True

    def __init__(self, pool: Pool, budget: int, seed: int) -> None:
        pool.pays(budget)
        self.pool, self.seed = pool, seed
        self._asked: list[Rows] = []
        self._waiting: Rows = np.empty(0, np.int64)
        self._round = 0

    @abstractmethod
    def choose(self, state: State, candidates: Rows, count: int, chance: np.random.Generator) -> Rows:
        """Choose `count` (or fewer) of the candidates, in the order in which they shall be asked.

        Args:
            state: what is known; at least one round was answered.
            candidates: int64 [N] rows of the pool that nobody asked about, N >= 1.
            count: how many to choose, 1 <= count <= N.
            chance: of this round alone.
        """

    def propose(self, state: State) -> Proposal:
        """See `Strategy.propose`."""
        if not len(self._waiting):
            self._waiting = self._next_round(state)
        rows, self._waiting = self._waiting[: state.count], self._waiting[state.count :]
        if not len(rows):
            return NOTHING
        return Proposal(self.pool.take(rows), [self.pool.origin(int(row)) for row in rows])

    def _next_round(self, state: State) -> Rows:
        key = f"round {self._round}"
        noted = state.notes.note(key)
        if noted is None:
            rows = self._new_round(state)
            state.notes.keep(key, rows.astype("<i8").tobytes())
        else:
            rows = np.frombuffer(noted, "<i8").astype(np.int64)
        self._round += 1
        self._asked.append(rows)
        return rows

    def _new_round(self, state: State) -> Rows:
        chance = np.random.default_rng([self.seed, 0xAC, self._round])
        paid = sum(map(len, self._asked))
        count = max(FIRST_ROUND, int(GROWTH * paid))
        candidates = self._candidates(count, chance)
        if not paid or not len(candidates):
            return candidates[:count]
        return self.choose(state, candidates, min(count, len(candidates)), chance)

    def _candidates(self, count: int, chance: np.random.Generator) -> Rows:
        """Rows that nobody asked about, in random order."""
        if self.pool.size is None:
            # Each round has a stretch of its own of what has no end.
            begin = ENDLESS_FACTOR * sum(max(FIRST_ROUND, len(rows)) for rows in self._asked)
            return chance.permutation(np.arange(begin, begin + min(ENDLESS_FACTOR * count, MOST_CANDIDATES)))
        free = np.ones(self.pool.size, bool)
        for rows in self._asked:
            free[rows] = False
        return chance.permutation(np.flatnonzero(free))[: max(MOST_CANDIDATES, count)]
