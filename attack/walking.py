"""A thief's walk: the strategy proposes images, they are answered and paid for, the strategy sees the answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from attack.budget import Answered, BudgetedOracle
from attack.paid import Paid
from attack.strategies import State, Strategy

# Proposals in a row without one new image, after which a strategy counts as run out (a pool of one black picture).
STALE_PROPOSALS = 20


def walk(
    asking: BudgetedOracle, strategy: Strategy, paid: Paid, budget: int, state: Callable[[int], State]
) -> Iterator[Answered]:
    """Go on until `budget` distinct images are paid for, or the strategy has no more that are new.

    Args:
        asking: answers the images.
        strategy: chooses them.
        paid: takes them with their answers.
        budget: distinct images, those of earlier walks through `asking` included.
        state: what the strategy is told when this many images are still to be asked.

    Yields:
        what was answered to each proposal; it may hold no image.

    Raises:
        DataError, DeviceError: see `attack.budget.BudgetedOracle.ask`.
    """
    stale = 0
    while asking.spent < budget:
        proposal = strategy.propose(state(budget - asking.spent))
        if not len(proposal.images) or stale >= STALE_PROPOSALS:
            return
        answered = asking.ask(proposal.images, proposal.provenance)
        strategy.observe(answered.images, answered.answers)
        paid.add(answered.images, answered.answers, proposal.part)
        stale = 0 if len(answered.images) else stale + 1
        yield answered
