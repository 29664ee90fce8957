"""Like with like: what of run A is held against what of run B."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from benchmarks.comparison.conditions import Told, Unlike, notes, unlike


class Measured(Protocol):
    """Something measured under conditions."""

    @property
    def what(self) -> str:
        """The artefact or the thief: alike in name."""

    @property
    def conditions(self) -> Told:
        """By name; None: not told."""


T = TypeVar("T", bound=Measured)


@dataclass(frozen=True)
class Pairs(Generic[T]):
    """What is compared, and what is not.

    Attributes:
        found: pairs of A and B.
        refused: of what both have, but not under like conditions: why.
        only_a, only_b: what one of them lacks.
    """

    found: list[tuple[T, T]] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    only_a: list[str] = field(default_factory=list)
    only_b: list[str] = field(default_factory=list)


def pair(a: Sequence[T], b: Sequence[T], vary: Collection[str] = ()) -> Pairs[T]:
    """Pair what has one name and like conditions.

    Where a name stands for several measurements (on two devices, say) each is paired with the one that agrees with it
    in most that both tell. A name of which nothing pairs is refused.

    Args:
        vary: conditions that may differ.
    """
    pairs: Pairs[T] = Pairs()
    for what in dict.fromkeys(one.what for one in (*a, *b)):
        of_a, of_b = [one for one in a if one.what == what], [one for one in b if one.what == what]
        if not of_a or not of_b:
            (pairs.only_a if of_a else pairs.only_b).append(what)
            continue
        _pair_name(of_a, of_b, vary, pairs)
    return pairs


def _pair_name(a: list[T], b: list[T], vary: Collection[str], pairs: Pairs[T]) -> None:
    what, left, found = a[0].what, list(b), []
    for one in a:
        alike = [other for other in left if unlike(one.conditions, other.conditions, vary) is None]
        if not alike:
            continue
        best = min(alike, key=lambda other: len(notes(one.conditions, other.conditions, vary)))
        left.remove(best)
        found.append((one, best))
    pairs.found.extend(found)
    if not found:
        pairs.refused.append(f"{what}: {_nearest(a, b, vary)}")
        return
    matched = [one for one, _ in found]
    pairs.only_a.extend(f"{what} ({_place(one)})" for one in a if one not in matched)
    pairs.only_b.extend(f"{what} ({_place(other)})" for other in left)


def _nearest(a: list[T], b: list[T], vary: Collection[str]) -> Unlike:
    """The fewest differences that any two have."""
    found = [unlike(x.conditions, y.conditions, vary) for x in a for y in b]
    return min((one for one in found if one is not None), key=lambda one: len(one.differences))


def _place(one: Measured) -> str:
    return ", ".join(f"{name} {value}" for name, value in one.conditions.items() if value is not None)
