"""A strategy walked by hand: proposals, answers and notes, without ledger and device."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from victims_in_process import KnownVictim

from attack.ledger import image_hash
from attack.paid import Paid
from attack.pools import Pool
from attack.strategies import State, Strategy


class Notebook(dict[str, bytes]):
    """Notes in memory."""

    def note(self, key: str) -> bytes | None:
        return self.get(key)

    def keep(self, key: str, value: bytes) -> None:
        self[key] = value


class Linear(nn.Module):
    """A known network: logits float32 [N, classes] = (pixels / 255 - 0.5) @ `weights` [pixels, classes] + `bias`."""

    def __init__(self, weights: NDArray[np.float64], bias: Sequence[float] = (0.0,)) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.tensor(bias))
        self.weights = nn.Parameter(torch.from_numpy(weights.astype(np.float32)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x.permute(0, 2, 3, 1).flatten(1) - 0.5) @ self.weights + self.bias


def linear(classes: int = 3, seed: int = 0, pixels: int = 256) -> Linear:
    return Linear(np.random.default_rng(seed).normal(size=(pixels, classes)))


def halves() -> Linear:
    """What `brighter_half` tells apart: logit 0 for the upper half, 1 for the lower."""
    upper = np.where(np.arange(256) < 128, 0.5, -0.5)
    return Linear(np.stack([upper, -upper], axis=1))


def untrained() -> nn.Module:
    raise AssertionError("a substitute was trained for what stands in the notes")


def pool_of(images: NDArray[np.uint8], name: str = "mine") -> Pool:
    return Pool(name, len(images), lambda rows: images[rows], lambda row: f"{name}/{row}")


@dataclass
class Walk:
    """What a strategy has proposed so far.

    Attributes:
        trained: how many substitutes it asked for.
    """

    strategy: Strategy
    victim: KnownVictim
    substitute: Callable[[], nn.Module]
    notes: Notebook = field(default_factory=Notebook)
    paid: Paid = field(default_factory=Paid)
    proposed: list[NDArray[np.uint8]] = field(default_factory=list)
    origins: list[str] = field(default_factory=list)
    trained: int = 0
    _known: set[bytes] = field(default_factory=set)

    def go(self, counts: Sequence[int]) -> Walk:
        """Propose and answer so many at a time; stops early when nothing is proposed."""
        for count in counts:
            proposal = self.strategy.propose(State(count, self.paid, self.notes, self._train))
            assert len(proposal.images) == len(proposal.provenance) <= count
            if not len(proposal.images):
                break
            self.proposed.append(proposal.images)
            self.origins += proposal.provenance
            new = [row for row, digest in enumerate(map(image_hash, proposal.images)) if self._new(digest)]
            if new:
                answers = self.victim.query(proposal.images[new])
                self.strategy.observe(proposal.images[new], answers)
                self.paid.add(proposal.images[new], answers, proposal.part)
        return self

    def _new(self, digest: bytes) -> bool:
        if digest in self._known:
            return False
        self._known.add(digest)
        return True

    def _train(self) -> nn.Module:
        self.trained += 1
        return self.substitute()

    @property
    def images(self) -> NDArray[np.uint8]:
        """All proposals, uint8 [N, H, W, C]."""
        return np.concatenate(self.proposed)

    @property
    def hashes(self) -> list[bytes]:
        return [image_hash(image) for image in self.images]
