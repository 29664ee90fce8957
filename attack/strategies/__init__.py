"""Query strategies: which image to ask about next."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from attack.pools import Pool
from attack.strategies.amplify import grown
from attack.strategies.balanced import BalancedStrategy
from attack.strategies.bandit import KnockoffStrategy
from attack.strategies.base import Notes, Proposal, State, Strategy
from attack.strategies.coverage import DeepFoolKCenterStrategy, KCenterStrategy
from attack.strategies.datafree import DataFreeStrategy
from attack.strategies.jacobian import JacobianStrategy
from attack.strategies.marich import MarichStrategy
from attack.strategies.mixture import MixtureStrategy
from attack.strategies.random import RandomStrategy
from attack.strategies.uncertainty import EntropyStrategy
from foundation.errors import UsageError

__all__ = [
    "STRATEGIES",
    "Notes",
    "Proposal",
    "State",
    "Strategy",
    "baseline",
    "check_strategy",
    "default_strategy",
    "find_strategy",
]

STRATEGIES: dict[str, Callable[[Pool, int, int], Strategy]] = {
    "random": RandomStrategy,
    "balanced": BalancedStrategy,
    "entropy": EntropyStrategy,
    "kcenter": KCenterStrategy,
    "dfal_kcenter": DeepFoolKCenterStrategy,
    "knockoff": KnockoffStrategy,
    "marich": MarichStrategy,
    "jbda": JacobianStrategy,
    "datafree": DataFreeStrategy,
}

_AMPLIFY = "amplify"
_DATA_FREE = "datafree"
# They make images of their own: the pool need not hold one for each query.
_MAKERS = ("jbda", _DATA_FREE)


def default_strategy(pool: str) -> str:
    """A few images of the problem domain are grown; any other pool is asked about at random.

    Args:
        pool: its name; of a composed pool every part has a strategy of its own.
    """
    return "+".join(_AMPLIFY if part.startswith("pd:") else "random" for part in pool.split("+"))


def baseline(strategy: str) -> str:
    """Querying at random on the same images: what a strategy must beat."""
    return "+".join(_AMPLIFY if part.startswith(_AMPLIFY) else "random" for part in strategy.split("+"))


def check_strategy(name: str) -> None:
    """See to it that there is such a strategy.

    Raises:
        UsageError: there is none.
    """
    for part in name.split("+"):
        if part != _AMPLIFY and part.removeprefix(f"{_AMPLIFY}:") not in STRATEGIES:
            known = ", ".join((_AMPLIFY, *STRATEGIES))
            raise UsageError(
                f"unknown strategy {part!r}", hint=f"use one of {known}, or amplify:STRATEGY to choose among variants"
            )


def find_strategy(name: str, pools: Sequence[Pool], budget: int, seed: int, architecture: str = "stacked") -> Strategy:
    """The strategy of that name, ready to propose.

    Args:
        name: a key of `STRATEGIES`; `amplify` for variants of the pool's images at random, `amplify:NAME` for variants
            that another strategy chooses; several, joined by `+`, one for each pool.
        pools: where its images come from, one or more.
        budget: the largest number of queries it will be asked for.
        seed: of this thief.
        architecture: of the copycat, for a strategy that trains it itself.

    Raises:
        UsageError: no such strategy, or one that cannot use the pool.
        DataError: the pool is too small for the budget.
    """
    check_strategy(name)
    names = name.split("+") * (len(pools) if "+" not in name else 1)
    if len(names) != len(pools):
        raise UsageError(f"{len(names)} strategies ({name}) for {len(pools)} pools", hint="give one, or one for each")
    if len(pools) == 1:
        return _one(name, pools[0], budget, seed, architecture)
    if _DATA_FREE in names:
        raise UsageError(
            f"strategy {_DATA_FREE} needs no images and learns alone", hint="give it one pool, such as none"
        )
    _pay_together(names, pools, budget)
    # Each part is asked for no more than it has.
    parts = [
        _one(own, pool, min(budget, pool.size or budget), seed, architecture)
        for own, pool in zip(names, pools, strict=True)
    ]
    mixture = MixtureStrategy(parts)
    mixture.pools = tuple(pool for part in parts for pool in part.pools)
    return mixture


def _pay_together(names: Sequence[str], pools: Sequence[Pool], budget: int) -> None:
    """See to it that pools which are asked about image by image hold enough of them, all together."""
    makes = (_AMPLIFY, *_MAKERS)
    sizes = [None if own.startswith(makes) else pool.size for own, pool in zip(names, pools, strict=True)]
    finite = [size for size in sizes if size is not None]
    if len(finite) == len(sizes):
        replace(pools[0], name="+".join(pool.name for pool in pools), size=sum(finite)).pays(budget)


def _one(name: str, pool: Pool, budget: int, seed: int, architecture: str) -> Strategy:
    if name == _DATA_FREE:
        return DataFreeStrategy(pool, budget, seed, architecture)
    grow, _, chooser = name.partition(":")
    varies = grow == _AMPLIFY
    if varies:
        pool, name = grown(pool, budget, seed), chooser or "random"
    strategy = STRATEGIES[name](pool, budget, seed)
    strategy.pools, strategy.varies = (pool,), varies
    return strategy
