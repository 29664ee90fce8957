"""What every strategy is, and what it may know when it chooses."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from torch import nn

from attack.paid import Labelled, Paid
from attack.pools import Pool
from foundation.answers import Answers


class Notes(Protocol):
    """What a strategy writes down beside its queries; `attack.ledger.AttackLedger` satisfies it."""

    def note(self, key: str) -> bytes | None:
        """What was kept under the key; None: nothing."""

    def keep(self, key: str, value: bytes) -> None:
        """Keep a value, in place of an older one; it is on disk when this returns."""


@dataclass(frozen=True)
class State:
    """What a thief knows when it chooses its next images.

    Attributes:
        count: how many images may be asked about now, at least 1.
        paid: what was paid for so far.
        notes: of this attack.
        substitute: trains a copycat of what was paid for so far, in evaluation mode; float32 [B, C, H, W] in [0, 1] to
            logits [B, classes]. It takes seconds: call it once a round.
        part: of a composed pool, for which images are chosen.
    """

    count: int
    paid: Paid
    notes: Notes
    substitute: Callable[[], nn.Module]
    part: int = 0

    @property
    def labelled(self) -> Labelled:
        """Images uint8 [N, H, W, C] of this part and the answers to them, in the order asked.

        Raises:
            LookupError: there is none yet.
        """
        found = self.paid.part(self.part)
        if found is None:
            raise LookupError("nothing was paid for yet")
        return found


@dataclass(frozen=True)
class Proposal:
    """Images to ask about, uint8 [N, H, W, C], and where each came from.

    Attributes:
        part: which part of a composed pool they are of; a thief learns from one part after the other.
    """

    images: NDArray[np.uint8]
    provenance: list[str]
    part: int = 0


NOTHING = Proposal(np.empty((0, 1, 1, 1), np.uint8), [])


class Strategy(ABC):
    """Chooses queries.

    What it proposes is a function of its seed and of the answers so far, never of the clock, of `State.count` or of
    chance from elsewhere: run again from the start it proposes the same images in the same order, which is how a killed
    attack resumes from its ledger. What is dear to choose twice it keeps in the notes.

    Attributes:
        trains: whether its choice depends on a network that is trained on the way.
        varies: whether its images are variants of a few already, each with an answer of its own.
        pools: what it chooses from, one for each part; `find_strategy` says it.
    """

    trains: bool = False
    varies: bool = False
    pools: tuple[Pool, ...] = ()

    def resume(self, notes: Notes, part: int, at_most: int) -> int:
        """Go on from a checkpoint in the notes, before anything was proposed.

        Args:
            notes: of this attack.
            part: of a composed pool.
            at_most: queries that may lie behind.

        Returns:
            how many queries lie behind, the ledger's first so many; 0: the walk begins at its start.
        """
        return 0

    @abstractmethod
    def propose(self, state: State) -> Proposal:
        """The next `state.count` images, or fewer; none at all ends the attack."""

    def observe(self, images: NDArray[np.uint8], answers: Answers) -> None:  # noqa: B027 - most need not
        """Learn from the images of the last proposal that were new, uint8 [M, H, W, C], and the answers to them."""

    def copycat(self) -> nn.Module | None:
        """A copy of the network that the strategy itself trains on the answers; None: there is none."""
        return None
