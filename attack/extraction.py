"""The attack itself: ask, learn, measure, at one budget after another."""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from attack.budget import BudgetedOracle
from attack.copycat import Copycat, CopycatTrainer
from attack.ledger import AttackIdentity, Ledger
from attack.oracle import Oracle
from attack.strategies import Strategy
from foundation.answers import Answers, concatenate
from foundation.errors import DataError, UsageError
from foundation.progress import SILENT, Progress

# Images asked for in one call: what a strategy decides on at once, and what one transaction of the ledger holds.
BATCH = 512

# Proposals in a row without one new image, after which a strategy counts as run out (a pool of one black picture).
STALE_PROPOSALS = 20


@dataclass(frozen=True)
class ThiefSettings:
    """Who steals and how.

    Attributes:
        pool: name of the pool, for the ledger.
        strategy: name of the strategy, for the ledger.
        architecture: of the copycat.
        budgets: numbers of queries at which a copycat is trained, ascending.
        seed: of this thief.
        data: identifies the images behind the pool (the data set's sha256).
    """

    pool: str
    strategy: str
    architecture: str
    budgets: tuple[int, ...]
    seed: int
    data: str

    def __post_init__(self) -> None:
        if not self.budgets or self.budgets[0] < 1 or list(self.budgets) != sorted(set(self.budgets)):
            raise UsageError(
                f"budgets {self.budgets} must be whole numbers of at least 1, ascending",
                hint="for example --budget 1000, or --budget 250 --budget 1000",
            )

    def identity(self, oracle: Oracle) -> AttackIdentity:
        """Under which name the ledger keeps this thief's queries."""
        thief = {"pool": self.pool, "strategy": self.strategy, "seed": self.seed, "data": self.data}
        return AttackIdentity(oracle.identity, oracle.policy, json.dumps(thief, sort_keys=True))


@dataclass(frozen=True)
class Theft:
    """A copycat at one budget.

    Attributes:
        budget: how many queries it had.
        queries: distinct images asked, equal to the budget unless the strategy ran out.
        device_queries: how many of them the device answered in this process; the rest were in the ledger already.
        copycat: the thief, trained or still in training.
        answer_histogram: int64 [classes], how often the victim answered each class.
        seconds_query: wall clock of asking, from the first query on.
        device_seconds: inference time on the device, for all queries.
    """

    budget: int
    queries: int
    device_queries: int
    copycat: Future[Copycat]
    answer_histogram: NDArray[np.int64]
    seconds_query: float
    device_seconds: float


@dataclass
class TrainingSet:
    """What the thief has paid for so far, in the order asked."""

    images: list[NDArray[np.uint8]] = field(default_factory=list)
    answers: list[Answers] = field(default_factory=list)

    def add(self, images: NDArray[np.uint8], answers: Answers) -> None:
        """Take a batch."""
        if len(images):
            self.images.append(images)
            self.answers.append(answers)

    def joined(self) -> tuple[NDArray[np.uint8], Answers]:
        """All images uint8 [N, H, W, C] and their answers.

        Raises:
            DataError: there is none.
        """
        if not self.images:
            raise DataError("the strategy proposed no image at all")
        return np.concatenate(self.images), concatenate(self.answers)


def extract(
    oracle: Oracle,
    strategy: Strategy,
    ledger: Ledger,
    settings: ThiefSettings,
    trainer: CopycatTrainer,
    *,
    wanted: Collection[int] | None = None,
    progress: Progress = SILENT,
) -> Iterator[Theft]:
    """Steal: spend each budget in turn and train a copycat on everything paid for so far.

    Started again after a kill, it walks the same way: what the ledger knows is not asked twice.

    Args:
        oracle: the victim.
        strategy: chooses the queries.
        ledger: remembers them.
        settings: the thief.
        trainer: trains the copycats while the asking goes on.
        wanted: budgets that still need a copycat, where an earlier run has the others; None for all.
        progress: where to show it.
    """
    part = ledger.attack(settings.identity(oracle), oracle.classes)
    asking = BudgetedOracle(oracle, part, settings.budgets[-1])
    paid = TrainingSet()
    seconds = 0.0
    for budget in settings.budgets:
        start = time.perf_counter()
        _spend(asking, strategy, paid, budget, progress)
        seconds += time.perf_counter() - start
        if wanted is not None and budget not in wanted:
            continue
        images, answers = paid.joined()
        copycat = trainer.submit(images, answers, settings.architecture, settings.seed)
        histogram = np.bincount(answers.top1(), minlength=oracle.classes)
        device_seconds = float(answers.device_ns.sum(dtype=np.float64)) / 1e9
        yield Theft(budget, len(images), asking.asked, copycat, histogram, seconds, device_seconds)


def _spend(asking: BudgetedOracle, strategy: Strategy, paid: TrainingSet, budget: int, progress: Progress) -> None:
    """Ask until `budget` distinct images are paid for, or the strategy has no more that are new."""
    stale = 0
    with progress.task(f"asking {asking.oracle.policy}", budget) as advance:
        advance(asking.spent)
        while asking.spent < budget:
            proposal = strategy.propose(min(BATCH, budget - asking.spent))
            if not len(proposal.images) or stale >= STALE_PROPOSALS:
                return
            answered = asking.ask(proposal.images, proposal.provenance)
            strategy.observe(answered.images, answered.answers)
            stale = 0 if len(answered.images) else stale + 1
            paid.add(answered.images, answered.answers)
            advance(len(answered.images), f"{answered.asked} new")
