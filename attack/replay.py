"""The queries of one thief again, from its ledger alone.

The ledger keeps hashes and answers, not images. A strategy is a function of its seed and of the answers, so it walks
the same way again; each image that it proposes is held against the ledger's hash before it is given away.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import nn

from attack.budget import Answered, BudgetedOracle
from attack.extraction import MOST_AT_ONCE
from attack.ledger import AttackIdentity, AttackLedger, Ledger
from attack.paid import Labelled, Paid
from attack.strategies import State, Strategy
from attack.walking import walk
from foundation.answers import AnswerPolicy, Answers
from foundation.errors import DataError
from foundation.progress import SILENT, Progress

_HINT = "give the data, seed and settings it was made with; another version of edgecat may choose other images"


def replay(
    ledger: Ledger,
    identity: AttackIdentity,
    strategy: Strategy,
    image_shape: tuple[int, int, int],
    classes: int,
    *,
    at_once: int = 2048,
    spool: Path | None = None,
    progress: Progress = SILENT,
) -> Iterator[Labelled]:
    """Walk a thief's way again, without a device.

    Args:
        ledger: has the answers. Nothing is written to it.
        identity: whose queries; one of `ledger.attacks()`.
        strategy: as it was when the thief asked: of the same name, pools, budget, seed and architecture.
        image_shape: height, width, channels of the victim's images.
        classes: how many classes the victim knows.
        at_once: images given at a time, at most.
        spool: directory on whose disk the images stand meanwhile; None: the system's for temporary files.
        progress: where to show it.

    Yields:
        images uint8 [N, H, W, C], N >= 1, and the answers to them, in the order asked, until the ledger's last.

    Raises:
        DataError: the ledger has no such thief, or holds another walk than this strategy's.
    """
    if identity not in ledger.attacks():
        raise DataError(f"ledger {ledger.path} has no thief {identity.thief}")
    held = ledger.attack(identity, classes)
    if not len(held):
        return
    asking = _Replaying(_Silent(identity, classes, image_shape), held, len(held))
    most = min(at_once, MOST_AT_ONCE)
    with Paid(spool) as paid, progress.task(f"replaying {identity.thief}", len(held)) as advance:
        state = partial(_state, most, paid, _ReadNotes(held))
        for answered in walk(asking, strategy, paid, len(held), state):
            advance(len(answered.images))
            if len(answered.images):
                yield answered.images, answered.answers
    if asking.remaining:
        raise _another_walk(f"the strategy ends after {asking.spent} of {len(held)} queries")


class _Replaying(BudgetedOracle):
    """Hints at what helps who replays a walk, where its base class speaks to a thief who goes on."""

    def ask(self, images: NDArray[np.uint8], provenance: list[str]) -> Answered:
        """See `BudgetedOracle`."""
        try:
            return super().ask(images, provenance)
        except DataError as error:
            raise DataError(error.message, hint=_HINT) from error


class _Silent:
    """Stands where the device stood, and refuses to be asked."""

    def __init__(self, identity: AttackIdentity, classes: int, image_shape: tuple[int, int, int]) -> None:
        self.identity, self.policy = identity.victim, identity.policy
        self.classes, self.image_shape = classes, image_shape

    identity: str
    policy: AnswerPolicy

    def query(self, images: NDArray[np.uint8]) -> Answers:
        """See `attack.oracle.Oracle`."""
        raise _another_walk(f"it has no answer to {len(images)} of these images")


class _ReadNotes:
    """A thief's notes, to be read only: what it would keep now it kept then."""

    def __init__(self, held: AttackLedger) -> None:
        self._held = held

    def note(self, key: str) -> bytes | None:
        """See `attack.strategies.Notes`."""
        return self._held.note(key)

    def keep(self, key: str, value: bytes) -> None:
        """Nothing is written."""


def _state(most: int, paid: Paid, notes: _ReadNotes, left: int) -> State:
    return State(min(most, left), paid, notes, _no_substitute)


def _no_substitute() -> nn.Module:
    """A strategy that trains one for a round reads the round's rows in its notes instead."""
    raise _another_walk("a round that its queries come from is not in its notes")


def _another_walk(why: str) -> DataError:
    return DataError(f"the ledger holds another walk of this thief: {why}", hint=_HINT)
