"""The processors that a runner runs on. Standard library only: part of what travels to the device."""

from __future__ import annotations

import os
import re

from foundation.errors import UsageError


def parse_cpus(text: str) -> frozenset[int]:
    """Read a list of processors: numbers and ranges, like `0,2-3`.

    Raises:
        UsageError: anything else.
    """
    cpus: set[int] = set()
    for part in text.split(","):
        match = re.fullmatch(r"([0-9]{1,4})(?:-([0-9]{1,4}))?", part)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if first > last:
            raise UsageError(
                f"--cpus={text} is no list of processors like 0,2-3", hint="numbers and ranges, separated by commas"
            )
        cpus.update(range(first, last + 1))
    return frozenset(cpus)


def pin(cpus: frozenset[int]) -> None:
    """Keep this process to these processors.

    Raises:
        UsageError: one of them cannot be had, or the system knows no such thing.
    """
    try:
        # The kernel passes over those that are not there.
        os.sched_setaffinity(0, cpus)
        if os.sched_getaffinity(0) == cpus:
            return
        reason = "not every one of them is there for this process"
    except (AttributeError, OSError) as error:
        reason = str(error)
    raise UsageError(f"--cpus={','.join(map(str, sorted(cpus)))}: {reason}")
