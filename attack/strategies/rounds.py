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
# Images are taken from the pool by so many: what an amplified pool makes of a block, it makes once.
TAKEN = 8_192


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
        self._taken = NOTHING.images
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
        if not len(self._taken) and len(self._waiting):
            self._taken = self.pool.take(self._waiting[:TAKEN])
        images, self._taken = self._taken[: state.count], self._taken[state.count :]
        rows, self._waiting = self._waiting[: len(images)], self._waiting[len(images) :]
        return Proposal(images, [self.pool.origin(int(row)) for row in rows]) if len(rows) else NOTHING

    def _next_round(self, state: State) -> Rows:
        key = f"part {state.part} round {self._round}"
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
        # Where another part of the pool has the same images, nothing of this one was new.
        if not len(candidates) or state.paid.part(state.part) is None:
            return candidates[:count]
        return self.choose(state, candidates, min(count, len(candidates)), chance)

    def _candidates(self, count: int, chance: np.random.Generator) -> Rows:
        """Rows that nobody asked about, in random order."""
        if self.pool.size is None:
            return self._stretch(count, chance)
        free = np.ones(self.pool.size, bool)
        for rows in self._asked:
            free[rows] = False
        return chance.permutation(np.flatnonzero(free))[: max(MOST_CANDIDATES, count)]

    def _stretch(self, count: int, chance: np.random.Generator) -> Rows:
        """Each round has a stretch of its own of what has no end; the first, where an amplified pool has its originals,
        is asked as it comes."""
        if not self._asked:
            return np.arange(count, dtype=np.int64)
        begin = FIRST_ROUND + ENDLESS_FACTOR * sum(map(len, self._asked[1:]))
        stretch = np.arange(begin, begin + min(ENDLESS_FACTOR * count, MOST_CANDIDATES), dtype=np.int64)
        return chance.permutation(np.setdiff1d(stretch, np.concatenate(self._asked)))
