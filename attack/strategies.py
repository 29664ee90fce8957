"""Query strategies: which image to ask about next.

A strategy is a function of its seed and of the answers so far, never of the clock or of chance from elsewhere: run
again from the start it proposes the same images, which is how a killed attack resumes from its ledger.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from attack.pools import Pool
from foundation.answers import Answers
from foundation.errors import DataError, UsageError
from victim.augmentation import augment


@dataclass(frozen=True)
class Proposal:
    """Images to ask about, uint8 [N, H, W, C], and where each came from."""

    images: NDArray[np.uint8]
    provenance: list[str]


class Strategy(Protocol):
    """Chooses queries."""

    def propose(self, count: int) -> Proposal:
        """The next `count` images, or fewer where there are no more; none at all ends the attack."""

    def observe(self, images: NDArray[np.uint8], answers: Answers) -> None:
        """Learn from the images of the last proposal that were new, uint8 [M, H, W, C], and the answers to them."""


class RandomStrategy:
    """Images of the pool in random order, each once (Correia-Silva et al. 2018, "Copycat CNN", section III)."""

    def __init__(self, pool: Pool, budget: int, seed: int) -> None:
        if pool.size is not None and pool.size < budget:
            raise DataError(
                f"pool {pool.name} holds {pool.size} images, the budget is {budget}",
                hint="lower the budget, take a larger pool, or grow it with --strategy amplify",
            )
        self._pool, self._next = pool, 0
        self._order = None if pool.size is None else np.random.default_rng([seed, 0x51]).permutation(pool.size)

    def propose(self, count: int) -> Proposal:
        """See `Strategy.propose`."""
        rows = np.arange(self._next, self._next + count, dtype=np.int64)
        if self._order is not None:
            rows = self._order[self._next : self._next + count]
        self._next += len(rows)
        images = self._pool.take(rows) if len(rows) else np.empty((0, 1, 1, 1), np.uint8)
        return Proposal(images, [self._pool.origin(int(row)) for row in rows])

    def observe(self, images: NDArray[np.uint8], answers: Answers) -> None:
        """Random choice learns nothing."""


class AmplifyStrategy:
    """A few images grown into many queries, each asked for its own label.

    First the pool's images as they are, then variants: turned, shifted, scaled, changed in contrast and brightness, a
    third of them blended with another variant. Unlike augmentation in training, which presumes that the label stays,
    every variant gets the victim's own answer. Any budget can be spent; the pool must be finite.
    """

    # Variants are made in blocks of this many from the block's own seed, so that how they are asked for never matters.
    BLOCK = 250
    BLENDED = 1 / 3

    def __init__(self, pool: Pool, budget: int, seed: int) -> None:
        if pool.size is None:
            raise UsageError(f"strategy amplify grows a few images; pool {pool.name} has no end", hint="use random")
        # More seeds than the budget can be asked about are of no use.
        self._seeds = pool.take(np.arange(min(pool.size, budget), dtype=np.int64))
        self._name, self._seed, self._next = pool.name, seed, 0
        self._block: tuple[int, NDArray[np.uint8]] = (-1, self._seeds[:0])

    def propose(self, count: int) -> Proposal:
        """See `Strategy.propose`."""
        originals = self._seeds[self._next : self._next + count]
        parts, names = [originals], [self._name] * len(originals)
        self._next += len(originals)
        missing = count - len(originals)
        while missing:
            number, offset = divmod(self._next - len(self._seeds), self.BLOCK)
            part = self._variants(number)[offset : offset + missing]
            parts.append(part)
            names += [f"{self._name}/amplified"] * len(part)
            self._next += len(part)
            missing -= len(part)
        return Proposal(np.concatenate(parts), names)

    def observe(self, images: NDArray[np.uint8], answers: Answers) -> None:
        """Amplification goes its way whatever the answers."""

    def _variants(self, number: int) -> NDArray[np.uint8]:
        if self._block[0] != number:
            self._block = (number, self._make_block(number))
        return self._block[1]

    def _make_block(self, number: int) -> NDArray[np.uint8]:
        state = np.random.SeedSequence([self._seed, 0xA3, number]).generate_state(1, np.uint64)[0]
        generator = torch.Generator().manual_seed(int(state) >> 1)
        first, second = (self._changed(generator) for _ in range(2))
        share = torch.rand(self.BLOCK, 1, 1, 1, generator=generator) * 0.5
        blended = torch.rand(self.BLOCK, 1, 1, 1, generator=generator) < self.BLENDED
        images = torch.where(blended, first * (1 - share) + second * share, first)
        pixels = (images * 255).round().to(torch.uint8).permute(0, 2, 3, 1)
        return np.ascontiguousarray(pixels.numpy())

    def _changed(self, generator: torch.Generator) -> torch.Tensor:
        rows = torch.randint(len(self._seeds), (self.BLOCK,), generator=generator).numpy()
        images = torch.from_numpy(self._seeds[rows]).permute(0, 3, 1, 2).to(torch.float32) / 255
        return augment(images, generator, degrees=15, shift=0.15, scale=0.15, contrast=0.35, brightness=0.12)


STRATEGIES: dict[str, Callable[[Pool, int, int], Strategy]] = {"random": RandomStrategy, "amplify": AmplifyStrategy}


def find_strategy(name: str, pool: Pool, budget: int, seed: int) -> Strategy:
    """The strategy of that name, ready to propose.

    Args:
        name: a key of `STRATEGIES`.
        pool: where its images come from.
        budget: the largest number of queries it will be asked for.
        seed: of this thief.

    Raises:
        UsageError: no such strategy, or one that cannot use the pool.
        DataError: the pool is too small for the budget.
    """
    if name not in STRATEGIES:
        raise UsageError(f"unknown strategy {name!r}", hint=f"use {' or '.join(STRATEGIES)}")
    return STRATEGIES[name](pool, budget, seed)
