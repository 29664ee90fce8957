"""Pools in one attack: images of no domain first, a hospital's own after."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from attack.strategies.base import NOTHING, Proposal, State, Strategy
from foundation.answers import Answers


class MixtureStrategy(Strategy):
    """Several strategies in turn, each with a pool of its own, `BLOCK` images at a time.

    A pool that runs out leaves the rest of the budget to the others. The thief learns from the pools one after the
    other, the last one last (Correia-Silva et al. 2018, section III: non-problem-domain images, then fine-tuning on
    images of the problem domain).
    """

    BLOCK = 250

    def __init__(self, parts: Sequence[Strategy]) -> None:
        self._parts = list(parts)
        self._left = list(range(len(parts)))
        self._turn, self._given, self._asking = 0, 0, 0
        self.trains = any(part.trains for part in parts)
        self.varies = parts[-1].varies

    def propose(self, state: State) -> Proposal:
        """See `Strategy.propose`."""
        while self._left:
            part = self._left[self._turn % len(self._left)]
            count = min(state.count, self.BLOCK - self._given)
            proposal = self._parts[part].propose(replace(state, count=count, part=part))
            if len(proposal.images):
                self._given += len(proposal.images)
                if self._given >= self.BLOCK:
                    self._turn, self._given = self._turn + 1, 0
                self._asking = part
                return replace(proposal, part=part)
            self._left.remove(part)
            self._given = 0
        return NOTHING

    def observe(self, images: NDArray[np.uint8], answers: Answers) -> None:
        """See `Strategy.observe`."""
        self._parts[self._asking].observe(images, answers)
