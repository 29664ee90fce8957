"""Asking under a budget: every new image costs one query, a repeated one costs nothing, the budget is met exactly."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from attack.hashes import image_hashes
from attack.ledger import AttackLedger
from attack.oracle import Oracle
from foundation.answers import Answers, concatenate
from foundation.errors import BudgetError, DataError, UsageError

# What goes to the device at once, and is one transaction of the ledger: meanwhile the images before are written down
# and those after are hashed. Large enough that the device seldom waits between two of them.
PIECE = 4096


@dataclass(frozen=True)
class Answered:
    """Images with their answers: what the budget allowed of a proposal.

    Attributes:
        images: uint8 [N, H, W, C]; a view of the proposal where all of it was taken.
        answers: one for each.
        asked: how many of them the device was asked for now; the rest came from the ledger.
    """

    images: NDArray[np.uint8]
    answers: Answers
    asked: int


@dataclass
class _Piece:
    """Images of a proposal that this session has not seen yet.

    Attributes:
        rows: which of the proposal.
        hashes: of these.
        new: those of `rows` that the ledger does not know, as numbers within the piece.
        answers: of the whole piece, where the device gave them all.
    """

    rows: list[int] = field(default_factory=list)
    hashes: list[bytes] = field(default_factory=list)
    new: list[int] = field(default_factory=list)
    answers: Answers | None = None


class BudgetedOracle:
    """An oracle, a ledger and a limit.

    The distinct images of this session count, whether the device answers or the ledger remembers: a resumed attack
    that asks the same again walks the same way and stops at the same place.

    Args:
        oracle: the victim.
        ledger: remembers its answers.
        budget: queries, at least 1.
        in_order: a session asks what the ledger holds in the order it holds it, as a resumed attack does; anything
            else is refused before it is paid. False: in any order, for images that a user brings.

    Raises:
        UsageError: the budget is not at least 1.
    """

    def __init__(self, oracle: Oracle, ledger: AttackLedger, budget: int, *, in_order: bool = True) -> None:
        if budget < 1:
            raise UsageError(f"a query budget of {budget} buys nothing", hint="give a budget of 1 or more")
        self.oracle, self.ledger, self.budget = oracle, ledger, budget
        self.spent = 0
        """Distinct images so far."""
        self.asked = 0
        """How many of them the device answered in this session."""
        self._in_order = in_order
        # By the ledger's positions, a byte each: a set of a million hashes would take 100 MB.
        self._seen = bytearray()

    @property
    def remaining(self) -> int:
        """Queries left."""
        return self.budget - self.spent

    def skip(self, count: int) -> None:
        """Begin behind the ledger's first `count` queries, which a strategy has learnt from in an earlier session."""
        self.spent = count
        self._seen = bytearray(b"\1" * count)

    def ask(self, images: NDArray[np.uint8], provenance: list[str]) -> Answered:
        """Get answers for the images that are new in this session, as many as the budget allows.

        Images seen before in this session are left out: the thief has their answers. New answers are in the ledger
        before this returns.

        Args:
            images: uint8 [N, H, W, C].
            provenance: where each came from.

        Raises:
            BudgetError: the budget is spent.
            DataError: the ledger holds another walk than this session's (nothing of this call is paid), or cannot
                take the answers.
            DeviceError: the device failed. Of this call only whole pieces of `PIECE` images are in the ledger; who
                asks the same again pays for the rest alone.
        """
        if self.remaining <= 0:
            raise BudgetError(f"the budget of {self.budget} queries is spent")
        before = self.asked
        pieces = self._answer(images, provenance)
        rows = [row for piece in pieces for row in piece.rows]
        parts = [self._answers(piece) for piece in pieces if piece.rows] or [self.ledger.unpack([])]
        self._remember([digest for piece in pieces for digest in piece.hashes])
        return Answered(_taken(images, rows), concatenate(parts), self.asked - before)

    def _answer(self, images: NDArray[np.uint8], provenance: list[str]) -> list[_Piece]:
        """Piece by piece: the device answers one while the one before is written down and the one after is chosen.

        The device is asked by this thread, so that an interrupt reaches it.
        """
        taken: set[bytes] = set()
        held = len(self.ledger)
        pieces = [self._choose(images, 0, taken, held)]
        recording: Future[None] | None = None
        with ThreadPoolExecutor(1, thread_name_prefix="edgecat-ledger") as aside:
            for following in range(PIECE, len(images) + PIECE, PIECE):
                piece, choosing = pieces[-1], None
                if following < len(images):
                    choosing = aside.submit(self._choose, images, following, taken, held)
                if piece.new:
                    rows = [piece.rows[number] for number in piece.new]
                    answers = self.oracle.query(_taken(images, rows))
                    if recording is not None:
                        recording.result()
                    recording = aside.submit(self._record, piece, answers, [provenance[row] for row in rows])
                if choosing is not None:
                    pieces.append(choosing.result())
            if recording is not None:
                recording.result()
        return pieces

    def _choose(self, images: NDArray[np.uint8], first: int, taken: set[bytes], held: int) -> _Piece:
        """From `first` on, what is new in this session and in this call, as far as the budget goes."""
        piece, room, spent = _Piece(), self.remaining, self.spent
        hashes = image_hashes(images[first : first + PIECE])
        for row, (digest, position) in enumerate(zip(hashes, self.ledger.positions(hashes), strict=True), first):
            if digest in taken or (position >= 0 and self._was_seen(position)):
                continue
            if len(taken) == room:
                break
            if position >= 0 or spent + len(taken) < held:
                self._check_order(position, spent + len(taken), held)
            taken.add(digest)
            if position < 0:
                piece.new.append(len(piece.rows))
            piece.rows.append(row)
            piece.hashes.append(digest)
        return piece

    def _was_seen(self, position: int) -> bool:
        return position < len(self._seen) and bool(self._seen[position])

    def _check_order(self, position: int, due: int, held: int) -> None:
        """Whether the image that is due as number `due` stands there, where the ledger holds `held` of them."""
        if self._in_order and position != (due if due < held else -1):
            raise DataError(
                f"the ledger holds another walk of this thief: its query {due} was another image",
                hint="other package versions or settings? take a new ledger",
            )

    def _record(self, piece: _Piece, answers: Answers, provenance: list[str]) -> None:
        self.ledger.record([piece.hashes[number] for number in piece.new], answers, provenance)
        self.asked += len(piece.new)
        if len(piece.new) == len(piece.rows):
            piece.answers = answers

    def _answers(self, piece: _Piece) -> Answers:
        if piece.answers is not None:
            return piece.answers
        return self.ledger.unpack(self.ledger.answers(self.ledger.positions(piece.hashes)))

    def _remember(self, hashes: list[bytes]) -> None:
        first, self.spent = self.spent, self.spent + len(hashes)
        self._seen.extend(bytes(len(self.ledger) - len(self._seen)))
        for position in range(first, self.spent) if self._in_order else self.ledger.positions(hashes):
            self._seen[position] = 1


def _taken(images: NDArray[np.uint8], rows: list[int]) -> NDArray[np.uint8]:
    """These rows, ascending; without a copy where they stand side by side."""
    side_by_side = rows and rows[-1] - rows[0] == len(rows) - 1
    return images[rows[0] : rows[-1] + 1] if side_by_side else images[rows]
