"""Who does the steps of a sweep."""

from __future__ import annotations

from collections import deque
from typing import Protocol

from edgecat.sweeps.pools import Device
from edgecat.sweeps.steps import Outcome, Step
from edgecat.sweeps.work import perform


class Executor(Protocol):
    """Does steps that are ready to be done.

    Attributes:
        capacity: steps at once.
    """

    capacity: int

    def start(self, step: Step, device: Device | None) -> None:
        """Begin a step, where there is room."""

    def wait(self) -> tuple[Step, Outcome]:
        """Wait for the next step that ends."""


class Serial:
    """One step after the other, in this process."""

    capacity = 1

    def __init__(self) -> None:
        self._begun: deque[tuple[Step, Device | None]] = deque()

    def start(self, step: Step, device: Device | None) -> None:
        """See `Executor`."""
        self._begun.append((step, device))

    def wait(self) -> tuple[Step, Outcome]:
        """See `Executor`."""
        step, device = self._begun.popleft()
        return step, perform(step, device)
