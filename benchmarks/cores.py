"""Work side by side on cores of its own, so that neither slows the other down more than it must."""

from __future__ import annotations

import os


def shares(count: int) -> list[frozenset[int]]:
    """This process's cores dealt out to `count` pieces of work; all of them to each where there are too few."""
    if not hasattr(os, "sched_getaffinity"):
        return [frozenset()] * count
    cores = sorted(os.sched_getaffinity(0))
    return [frozenset(cores[number::count]) or frozenset(cores) for number in range(count)]


def on_cores(cores: frozenset[int]) -> None:
    """Keep this thread, and the processes that it starts, to these cores; no core: to any."""
    if cores:
        os.sched_setaffinity(0, cores)
