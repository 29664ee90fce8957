"""What every detector is, and what came of letting some of them watch a stream of queries."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

# A stream of queries: images uint8 [N, H, W, C] and the victim's top-1 labels int64 [N], batch after batch.
Stream = Iterable[tuple[NDArray[np.uint8], NDArray[np.int64]]]

LEVEL = 0.95


class Detector(Protocol):
    """Watches one client's queries and raises an alarm, once.

    How a stream is cut into batches never matters.
    """

    @property
    def name(self) -> str:
        """Short, for tables."""

    def observe(self, images: NDArray[np.uint8], labels: NDArray[np.int64]) -> int | None:
        """Watch further queries.

        Args:
            images: uint8 [N, H, W, C].
            labels: int64 [N], the classes that the victim answered.

        Returns:
            number of the query at which the alarm was raised, the stream's first being 0; None: not yet. After the
            alarm it stays what it was.
        """


# Makes a detector that has seen nothing yet.
NewDetector = Callable[[], Detector]


@dataclass(frozen=True)
class Detection:
    """What one detector said of one stream.

    Attributes:
        detector: its name.
        observed: queries it has seen.
        alarm: queries until the alarm, counted from 1; None: there was none.
    """

    detector: str
    observed: int
    alarm: int | None


@dataclass(frozen=True)
class FalseAlarms:
    """What one detector said of streams in which nobody steals.

    Attributes:
        detector: its name.
        length: queries of the longest stream.
        alarms: for each stream the queries until the alarm, counted from 1, or None.
    """

    detector: str
    length: int
    alarms: tuple[int | None, ...]

    @property
    def count(self) -> int:
        """Streams with an alarm."""
        return sum(alarm is not None for alarm in self.alarms)

    @property
    def rate(self) -> float:
        """Share of the streams with an alarm."""
        return self.count / len(self.alarms)

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the rate (Wilson 1927).

        It takes the streams as independent. Streams of one split are the same patients in other orders, so it says how
        much the order matters and too little of how much the patients do.
        """
        found = binomtest(self.count, len(self.alarms)).proportion_ci(LEVEL, method="wilson")
        return float(found.low), float(found.high)


def watch(detectors: Sequence[Detector], stream: Stream) -> list[Detection]:
    """Let fresh detectors watch a stream, to its end or until all have raised their alarm."""
    observed = [0] * len(detectors)
    alarms: list[int | None] = [None] * len(detectors)
    for images, labels in stream:
        for number, detector in enumerate(detectors):
            if alarms[number] is None:
                alarms[number] = detector.observe(images, labels)
                observed[number] += len(images)
        if all(alarm is not None for alarm in alarms):
            break
    return [
        Detection(detector.name, seen, None if alarm is None else alarm + 1)
        for detector, seen, alarm in zip(detectors, observed, alarms, strict=True)
    ]


def false_alarms(new: NewDetector, streams: Sequence[tuple[NDArray[np.uint8], NDArray[np.int64]]]) -> FalseAlarms:
    """Let a fresh detector watch each of some harmless streams, one or more: images and labels of each, whole."""
    found = [watch([new()], [stream])[0] for stream in streams]
    return FalseAlarms(found[0].detector, max(len(images) for images, _ in streams), tuple(one.alarm for one in found))
