"""Stealing without a single image: a generator makes the queries."""

from __future__ import annotations

import copy
import struct

import numpy as np
from numpy.typing import NDArray
from torch import nn

from attack.pools import Pool
from attack.strategies.base import Notes, Proposal, State, Strategy
from attack.strategies.disguide import Disguide
from foundation.answers import Answers, concatenate

_COUNTS = struct.Struct("<QQ")


class DataFreeStrategy(Strategy):
    """Data-free extraction from hard labels (Rosenthal et al. 2023, "DisGUIDE"; see `attack.strategies.disguide`).

    Meant for a million queries and more. The thief is one of the two students that learn on the way; answers with
    probabilities are learnt from as they are. Memory is that of the networks and of a bounded replay, however long the
    attack. A resumed attack imagines and learns again what it did before, with the answers of the ledger, or goes on
    from its last checkpoint (`resume`).

    Args:
        pool: only the shape of its images is looked at.
        budget: says nothing about what is asked first.
        seed: of this thief.
        architecture: of the students, hence of the thief.
    """

    trains = True
    CHECKPOINT = 400
    """Batches of queries between two checkpoints."""

    def __init__(self, pool: Pool, budget: int, seed: int, architecture: str = "plain") -> None:
        height, width, channels = pool.take(np.zeros(1, np.int64)).shape[1:]
        self._players = Disguide((height, width, channels), seed, architecture)
        self._batch: NDArray[np.uint8] = np.empty((0, height, width, channels), np.uint8)
        self._answered: list[tuple[NDArray[np.uint8], Answers]] = []
        self._batches, self._queries = 0, 0

    def propose(self, state: State) -> Proposal:
        """See `Strategy.propose`."""
        if not len(self._batch):
            self._learn()
            self._checkpoint(state)
            self._batch = self._players.imagine()
            self._batches += 1
        images, self._batch = self._batch[: state.count], self._batch[state.count :]
        return Proposal(images, ["generated"] * len(images))

    def observe(self, images: NDArray[np.uint8], answers: Answers) -> None:
        """See `Strategy.observe`."""
        if len(images):
            self._answered.append((images, answers))
            self._queries += len(images)

    def resume(self, notes: Notes, part: int, at_most: int) -> int:
        """See `Strategy.resume`."""
        kept = notes.note(_key(part))
        if kept is None:
            return 0
        batches, queries = _COUNTS.unpack_from(kept)
        if queries > at_most:
            return 0
        self._players.load(kept[_COUNTS.size :])
        self._batches, self._queries = batches, queries
        return int(queries)

    def copycat(self) -> nn.Module | None:
        """See `Strategy.copycat`; None below one batch of queries, from which a student has learnt nothing yet."""
        if not len(self._batch):
            self._learn()
        thief = self._players.thief()
        return None if thief is None else copy.deepcopy(thief).eval()

    def _checkpoint(self, state: State) -> None:
        if self._batches and self._batches % self.CHECKPOINT == 0:
            # Also where it is kept already: to save is to forget what is replayed.
            saved = _COUNTS.pack(self._batches, self._queries) + self._players.save()
            state.notes.keep(_key(state.part), saved)

    def _learn(self) -> None:
        """Learn a batch that was answered whole, never a part of one: how it was asked for must not matter."""
        if self._answered:
            images, answers = zip(*self._answered, strict=True)
            self._answered = []
            self._players.learn(np.concatenate(images), concatenate(list(answers)))


def _key(part: int) -> str:
    return f"generator and students of part {part}"
