"""Random querying: the baseline of every table."""

from __future__ import annotations

import numpy as np

from attack.pools import Pool
from attack.strategies.base import NOTHING, Proposal, State, Strategy


class RandomStrategy(Strategy):
    """Images of the pool in random order, each once (Correia-Silva et al. 2018, "Copycat CNN", section III)."""

    def __init__(self, pool: Pool, budget: int, seed: int) -> None:
        pool.pays(budget)
        self._pool, self._next = pool, 0
        self._order = None if pool.size is None else np.random.default_rng([seed, 0x51]).permutation(pool.size)

    def propose(self, state: State) -> Proposal:
        """See `Strategy.propose`."""
        count = state.count
        rows = np.arange(self._next, self._next + count, dtype=np.int64)
        if self._order is not None:
            rows = self._order[self._next : self._next + count]
        self._next += len(rows)
        if not len(rows):
            return NOTHING
        return Proposal(self._pool.take(rows), [self._pool.origin(int(row)) for row in rows])
