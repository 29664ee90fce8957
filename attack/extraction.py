"""The attack itself: ask, learn, measure, at one budget after another."""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Collection, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import nn

from attack.budget import BudgetedOracle
from attack.copycat import Copycat, CopycatTrainer, Lesson, train_copycat
from attack.ledger import AttackIdentity, Ledger
from attack.oracle import Oracle
from attack.paid import Paid, examples
from attack.strategies import State, Strategy
from attack.unqueried import unqueried
from attack.walking import walk
from foundation.answers import Answers
from foundation.errors import UsageError
from foundation.progress import SILENT, Progress

# Images asked for in one call: the more there are, the more of hashing and writing passes while the device answers (at
# 8,192 images of 64 x 64 the ledger leaves 83 % of the channel's rate, at 32,768 97 %), and the more memory it takes.
BATCH_BYTES = 64 << 20
MOST_AT_ONCE, LEAST_AT_ONCE = 16_384, 512

# Queried images of each answer that are kept to look at.
EXAMPLES = 8


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
        learner: how the copycat learns; see `attack.copycat.LEARNERS`.
        effort: how long it learns; see `attack.copycat.settings_for`.
    """

    pool: str
    strategy: str
    architecture: str
    budgets: tuple[int, ...]
    seed: int
    data: str
    learner: str = "supervised"
    effort: float = 1.0

    def __post_init__(self) -> None:
        if not self.budgets or self.budgets[0] < 1 or list(self.budgets) != sorted(set(self.budgets)):
            raise UsageError(
                f"budgets {self.budgets} must be whole numbers of at least 1, ascending",
                hint="for example --budget 1000, or --budget 250 --budget 1000",
            )

    def identity(self, oracle: Oracle, *, trains: bool = False) -> AttackIdentity:
        """Under which name the ledger keeps this thief's queries.

        Args:
            oracle: the victim.
            trains: whether the strategy's choice depends on a network: then the thief's is a part of the name.
        """
        thief: dict[str, str | int | float] = {
            "pool": self.pool,
            "strategy": self.strategy,
            "seed": self.seed,
            "data": self.data,
        }
        if trains:
            thief |= {"architecture": self.architecture, "effort": self.effort}
        return AttackIdentity(oracle.identity, oracle.policy, json.dumps(thief, sort_keys=True))


@dataclass(frozen=True)
class Theft:
    """A copycat at one budget.

    Attributes:
        budget: how many queries it had.
        queries: distinct images asked, equal to the budget unless the strategy ran out.
        device_queries: how many of them the device answered in this process; the rest were in the ledger already.
        copycat: the thief, trained or still in training.
        answer_histogram: int64 [classes], how often the victim answered each class; what it refused is not in it.
        examples: some of the queried images, uint8 [M, H, W, C], and the class answered to each, int64 [M].
        seconds_query: wall clock of asking, from the first query on, with the training of substitutes.
        device_seconds: inference time on the device, for all queries.
    """

    budget: int
    queries: int
    device_queries: int
    copycat: Future[Copycat]
    answer_histogram: NDArray[np.int64]
    examples: tuple[NDArray[np.uint8], NDArray[np.int64]]
    seconds_query: float
    device_seconds: float


def extract(
    oracle: Oracle,
    strategy: Strategy,
    ledger: Ledger,
    settings: ThiefSettings,
    trainer: CopycatTrainer,
    *,
    wanted: Collection[int] | None = None,
    spool: Path | None = None,
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
        spool: directory on whose disk the queried images stand meanwhile; None: the system's for temporary files.
        progress: where to show it.
    """
    with Paid(spool) as paid:
        walk = _Walk(oracle, strategy, ledger, settings, paid, progress)
        walk.resume(min(wanted) if wanted else settings.budgets[0])
        for budget in settings.budgets:
            walk.spend(budget)
            if wanted is None or budget in wanted:
                yield walk.theft(budget, trainer)


class _Walk:
    """One thief on the way."""

    def __init__(
        self,
        oracle: Oracle,
        strategy: Strategy,
        ledger: Ledger,
        settings: ThiefSettings,
        paid: Paid,
        progress: Progress,
    ) -> None:
        self.notes = ledger.attack(settings.identity(oracle, trains=strategy.trains), oracle.classes)
        self.asking = BudgetedOracle(oracle, self.notes, settings.budgets[-1])
        self.strategy, self.settings, self.paid, self.progress = strategy, settings, paid, progress
        fitting = BATCH_BYTES // int(np.prod(oracle.image_shape))
        self.batch = min(max(fitting, LEAST_AT_ONCE), MOST_AT_ONCE)
        self.seconds = 0.0
        self.histogram, self.device_ns = np.zeros(oracle.classes, np.int64), 0

    def resume(self, first: int) -> None:
        """Go on from the strategy's checkpoint, unless it lies behind `first`, the budget that is wanted next."""
        behind = self.strategy.resume(self.notes, 0, first)
        if behind:
            self.progress.say(f"going on behind {behind:,} queries")
            self.asking.skip(behind)
            for rows in (range(k, min(k + MOST_AT_ONCE, behind)) for k in range(0, behind, MOST_AT_ONCE)):
                self._count(self.notes.unpack(self.notes.answers(rows)))

    def spend(self, budget: int) -> None:
        """Ask until `budget` distinct images are paid for, or the strategy has no more that are new."""
        start, asking = time.perf_counter(), self.asking
        with self.progress.task(f"asking {asking.oracle.policy}", budget) as advance:
            advance(asking.spent)
            for answered in walk(asking, self.strategy, self.paid, budget, self._state):
                self._count(answered.answers)
                advance(len(answered.images), f"{answered.asked} new")
        self.seconds += time.perf_counter() - start

    def theft(self, budget: int, trainer: CopycatTrainer) -> Theft:
        """Train a copycat of what was paid for."""
        return Theft(
            budget=budget,
            queries=self.asking.spent,
            device_queries=self.asking.asked,
            copycat=self._copycat(trainer),
            answer_histogram=self.histogram.copy(),
            examples=examples(self.paid.parts(), EXAMPLES),
            seconds_query=self.seconds,
            device_seconds=self.device_ns / 1e9,
        )

    def _state(self, left: int) -> State:
        return State(min(self.batch, left), self.paid, self.notes, self._substitute)

    def _count(self, answers: Answers) -> None:
        """Keep count of what was answered, in which time."""
        self.histogram += np.bincount(answers.top1()[~answers.refused], minlength=len(self.histogram))
        self.device_ns += int(answers.device_ns.sum(dtype=np.int64))

    def _copycat(self, trainer: CopycatTrainer) -> Future[Copycat]:
        settings = self.settings
        own = self.strategy.copycat()
        if own is None:
            return trainer.submit(self._lesson(), settings.architecture, settings.seed, settings.learner)
        ready: Future[Copycat] = Future()
        # It was trained while it asked: those seconds are counted there.
        ready.set_result(Copycat(copy.deepcopy(own).eval(), 0.0))
        return ready

    def _substitute(self) -> nn.Module:
        settings, lesson = self.settings, self._lesson()
        return train_copycat(lesson, settings.architecture, settings.seed, progress=self.progress).network

    def _lesson(self) -> Lesson:
        """What there is to learn from now."""
        parts, pools, seed = self.paid.parts(), self.strategy.pools, self.settings.seed

        def unlabelled(count: int) -> NDArray[np.uint8]:
            return unqueried(pools, [images for images, _ in parts], count, seed)

        return Lesson(parts, unlabelled if pools else None, self.strategy.varies, self.settings.effort)
