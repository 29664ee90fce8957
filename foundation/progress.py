"""Progress of long work, told to whoever wants to show it.

Stages report through the small `Progress` protocol and know nothing of terminals; the command line passes one that
draws bars, tests and libraries pass `SILENT`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol


class Advance(Protocol):
    """Moves one bar on."""

    def __call__(self, steps: float = 1, note: str = "") -> None:
        """Move the bar by `steps`; `note` is shown beside it (a loss, a rate)."""


class Progress(Protocol):
    """Something that can show how far a piece of work is."""

    def task(self, description: str, total: float | None = None) -> AbstractContextManager[Advance]:
        """Open a bar of `total` steps (None: unknown) for the length of a `with` block."""

    def say(self, message: str) -> None:
        """Print one line of narration."""


class Silent:
    """Shows nothing."""

    @contextmanager
    def task(self, description: str, total: float | None = None) -> Iterator[Advance]:
        """Open a bar that nobody sees."""

        def advance(steps: float = 1, note: str = "") -> None:
            pass

        yield advance

    def say(self, message: str) -> None:
        """Say nothing."""


SILENT = Silent()
