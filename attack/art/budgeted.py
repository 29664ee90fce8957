"""An oracle under a budget that answers every image, also one that it was asked before: what ART's attacks expect."""

from __future__ import annotations

import json

import numpy as np
from numpy.typing import NDArray

from attack.budget import BudgetedOracle
from attack.hashes import image_hashes
from attack.ledger import AttackIdentity, Ledger
from attack.oracle import Oracle
from foundation.answers import Answers
from foundation.errors import BudgetError


class LedgerOracle:
    """Stands before an oracle, and is one: each distinct image is paid for once, a repeated one costs nothing.

    Answers are on disk before they are given. An attack of the same name that walks the same way again is answered
    from the ledger up to where it was killed. ART's attacks draw from numpy's global source: seed it. HopSkipJump and
    Boundary draw their first image from the system's entropy instead: give them `x_adv_init`.

    Attributes:
        identity, policy, classes, image_shape: the victim's, see `attack.oracle.Oracle`.

    Raises:
        UsageError: the budget is not at least 1.
    """

    def __init__(self, oracle: Oracle, ledger: Ledger, attack: str, budget: int) -> None:
        """Open the ledger's part for one attack.

        Args:
            oracle: the victim.
            ledger: remembers the answers.
            attack: names the attack in the ledger, with all that tells it from others ("HopSkipJump seed 3").
            budget: distinct images that may be asked about.
        """
        self.identity, self.policy = oracle.identity, oracle.policy
        self.classes, self.image_shape = oracle.classes, oracle.image_shape
        identity = AttackIdentity(oracle.identity, oracle.policy, json.dumps({"art": attack}))
        self._part = ledger.attack(identity, oracle.classes)
        # In any order: an attack with chance from elsewhere comes by other ways to images that it has paid for.
        self._asking = BudgetedOracle(oracle, self._part, budget, in_order=False)
        self._origin = f"art/{attack}"
        self._paid: set[bytes] = set()

    @property
    def spent(self) -> int:
        """Distinct images paid for in this session, whether the device answered or the ledger remembered."""
        return self._asking.spent

    def query(self, images: NDArray[np.uint8]) -> Answers:
        """See `attack.oracle.Oracle`.

        Raises:
            BudgetError: some of the images are new and the budget does not reach so far. It is spent to the last
                query, and what it bought is in the ledger.
        """
        hashes = image_hashes(images)
        if not self._paid.issuperset(hashes) and self._asking.remaining:
            answered = self._asking.ask(images, [self._origin] * len(images))
            self._paid.update(image_hashes(answered.images))
        if not self._paid.issuperset(hashes):
            raise BudgetError(
                f"the budget of {self._asking.budget} queries is spent before the attack is done",
                hint="raise the budget and start the attack again: what is in the ledger costs nothing",
            )
        known = self._part.known(hashes)
        return self._part.unpack([known[digest] for digest in hashes])
