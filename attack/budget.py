"""Asking under a budget: every new image costs one query, a repeated one costs nothing, the budget is met exactly."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from attack.ledger import AttackLedger, image_hash
from attack.oracle import Oracle
from foundation.answers import Answers
from foundation.errors import BudgetError, UsageError


@dataclass(frozen=True)
class Answered:
    """Images with their answers: what the budget allowed of a proposal.

    Attributes:
        images: uint8 [N, H, W, C].
        answers: one for each.
        asked: how many of them the device was asked for now; the rest came from the ledger.
    """

    images: NDArray[np.uint8]
    answers: Answers
    asked: int


class BudgetedOracle:
    """An oracle, a ledger and a limit.

    The distinct images of this session count, whether the device answers or the ledger remembers: a resumed attack
    that asks the same again walks the same way and stops at the same place.

    Raises:
        UsageError: the budget is not at least 1.
    """

    def __init__(self, oracle: Oracle, ledger: AttackLedger, budget: int) -> None:
        if budget < 1:
            raise UsageError(f"a query budget of {budget} buys nothing", hint="give a budget of 1 or more")
        self.oracle, self.ledger, self.budget = oracle, ledger, budget
        self._seen: set[bytes] = set()
        self.asked = 0

    @property
    def spent(self) -> int:
        """Distinct images so far."""
        return len(self._seen)

    @property
    def remaining(self) -> int:
        """Queries left."""
        return self.budget - self.spent

    def ask(self, images: NDArray[np.uint8], provenance: list[str]) -> Answered:
        """Get answers for the images that are new in this session, as many as the budget allows.

        Images seen before in this session are left out: the thief has their answers. New answers are in the ledger
        before this returns.

        Args:
            images: uint8 [N, H, W, C].
            provenance: where each came from.

        Raises:
            BudgetError: the budget is spent.
            DeviceError: the device failed; nothing of this call is in the ledger, nothing is paid.
        """
        if self.remaining <= 0:
            raise BudgetError(f"the budget of {self.budget} queries is spent")
        hashes = [image_hash(image) for image in images]
        rows: list[int] = []
        fresh: set[bytes] = set()
        for row, digest in enumerate(hashes):
            if digest not in self._seen and digest not in fresh and len(rows) < self.remaining:
                fresh.add(digest)
                rows.append(row)
        known = self.ledger.known([hashes[row] for row in rows])
        new = [row for row in rows if hashes[row] not in known]
        if new:
            answers = self.oracle.query(images[new])
            self.ledger.record([hashes[row] for row in new], answers, [provenance[row] for row in new])
            known.update(self.ledger.known([hashes[row] for row in new]))
        self._seen |= fresh
        self.asked += len(new)
        return Answered(images[rows], self.ledger.unpack([known[hashes[row]] for row in rows]), len(new))
