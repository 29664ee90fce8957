"""Uncertainty: what the substitute is least sure of."""

from __future__ import annotations

import numpy as np

from attack.strategies.base import State
from attack.strategies.rounds import RoundStrategy, Rows
from attack.strategies.substitute import entropy, probabilities


class EntropyStrategy(RoundStrategy):
    """The candidates of the highest predictive entropy (Pal et al. 2020, "ActiveThief", uncertainty strategy)."""

    def choose(self, state: State, candidates: Rows, count: int, chance: np.random.Generator) -> Rows:
        """See `RoundStrategy.choose`."""
        doubt = entropy(probabilities(state.substitute(), self.pool.take(candidates)))
        return candidates[np.argsort(-doubt, kind="stable")[:count]]
