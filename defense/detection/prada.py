"""PRADA: are the distances between queries spread as they are where nobody steals?

Juuti et al. 2019, "PRADA: Protecting against DNN Model Stealing Attacks" (IEEE EuroS&P), section 5; details as in the
authors' own program (SSGAalto/prada-protecting-against-dnn-model-stealing-attacks, growing_set.py).
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.stats import shapiro

from defense.detection.growing import GrowingSet
from foundation.errors import DataError, UsageError

# Classes with fewer distances are left out of the test; distances farther from their mean than so many deviations too.
LEAST_OF_CLASS = 10
OUTLIER = 3.0
# Queries whose distances are computed at once.
BLOCK = 256


@dataclass(frozen=True)
class PradaSettings:
    """How PRADA tests.

    Attributes:
        delta: the alarm is raised where Shapiro and Wilk's W falls below it; 0 never raises one.
        ceiling: and where W rises above it, which is no part of PRADA; 1 never raises one. Patients come in series of
            like images, so the distances of harmless queries are in two heaps and W is low; a thief's are in one.
        every: queries between two tests (the authors': 10).
        least: distances that a test needs more than (the authors': 100).
        window: newest distances that are tested; None for all of them, as the authors do. W is defined for up to 5,000
            values, and a thief who comes after many harmless queries shall not be drowned in them.
        capacity: images that one class's growing set keeps; the authors set no bound. It bounds memory (a byte for each
            pixel) and time.
    """

    delta: float
    ceiling: float = 1.0
    every: int = 10
    least: int = 100
    window: int | None = 5_000
    capacity: int = 4_096

    def __post_init__(self) -> None:
        if not 0 <= self.delta <= 1 or not 0 <= self.ceiling <= 1 or min(self.every, self.least, self.capacity) < 1:
            raise UsageError(
                f"PRADA cannot test as {self} says", hint="delta and ceiling in [0, 1], the rest at least 1"
            )


class Prada:
    """One client's queries under PRADA's eyes; a `defense.detection.detector.Detector`.

    Each query's distance (Euclidean, in levels of a pixel) to the nearest member of the growing set of its class is
    kept; those of all classes together are tested for being normal.

    Cost, beside the Shapiro-Wilk test of up to `window` values: the distances of a query to its class's growing set, in
    blocks of 256 by one matrix product. docs/detection.md has what was measured.

    Args:
        settings: how to test.
    """

    def __init__(self, settings: PradaSettings) -> None:
        self.settings = settings
        self.name = "prada" if settings.ceiling >= 1 else "band"
        """`band` where harmless streams bound W on both sides."""
        self.statistics: list[tuple[int, float]] = []
        """Number of the query and W, of every test so far."""
        self._sets: dict[int, GrowingSet] = {}
        self._counts: dict[int, int] = {}
        self._distances: list[NDArray[np.float64]] = []
        self._classes: list[NDArray[np.int64]] = []
        self._seen = 0
        self._alarm: int | None = None

    def observe(self, images: NDArray[np.uint8], labels: NDArray[np.int64]) -> int | None:
        """See `Detector.observe`."""
        for start in range(0, len(images), BLOCK):
            if self._alarm is not None:
                break
            self._block(images[start : start + BLOCK], labels[start : start + BLOCK])
        return self._alarm

    def _block(self, images: NDArray[np.uint8], labels: NDArray[np.int64]) -> None:
        distances = np.empty(len(images))
        for label in np.unique(labels):
            rows = np.flatnonzero(labels == label)
            members = self._sets.setdefault(int(label), GrowingSet(self.settings.capacity))
            distances[rows] = members.distances(images[rows])
        # A class's first image has no distance.
        found = ~np.isnan(distances)
        for row in range(len(images)):
            if found[row]:
                self._counts[int(labels[row])] = self._counts.get(int(labels[row]), 0) + 1
            if (self._seen + row + 1) % self.settings.every == 0:
                self._test(
                    self._seen + row, distances[: row + 1][found[: row + 1]], labels[: row + 1][found[: row + 1]]
                )
            if self._alarm is not None:
                return
        self._keep(distances[found], labels[found])
        self._seen += len(images)

    def _keep(self, distances: NDArray[np.float64], labels: NDArray[np.int64]) -> None:
        every, classes = np.concatenate([*self._distances, distances]), np.concatenate([*self._classes, labels])
        window = self.settings.window
        # Twice as many: some are of classes that are still too small to be tested.
        first = 0 if window is None else max(0, len(every) - 2 * window)
        self._distances, self._classes = [every[first:]], [classes[first:]]

    def _test(self, query: int, distances: NDArray[np.float64], labels: NDArray[np.int64]) -> None:
        """Test the kept distances and those of the current block."""
        every = np.concatenate([*self._distances, distances])
        classes = np.concatenate([*self._classes, labels])
        large = [label for label, count in self._counts.items() if count >= LEAST_OF_CLASS]
        tested = every[np.isin(classes, large)]
        if self.settings.window is not None:
            tested = tested[-self.settings.window :]
        statistic = normality(tested, self.settings.least)
        if statistic is None:
            return
        self.statistics.append((query, statistic))
        if not self.settings.delta <= statistic <= self.settings.ceiling:
            self._alarm = query


def normality(distances: NDArray[np.float64], least: int) -> float | None:
    """Shapiro and Wilk's W of distances [N], outliers left out; 1 is normal. None: not more than `least` are left."""
    if len(distances) <= least:
        return None
    kept = distances[np.abs(distances - distances.mean()) < OUTLIER * distances.std()]
    if len(kept) <= least:
        return None
    with warnings.catch_warnings():
        # Beyond 5,000 values the p-value is inaccurate, which nobody looks at.
        warnings.filterwarnings("ignore", message=".*p-value may not be accurate")
        return float(shapiro(kept).statistic)


Streams = Iterable[tuple[NDArray[np.uint8], NDArray[np.int64]]]


def calibrate_delta(streams: Streams, settings: PradaSettings, rate: float = 0.0) -> float:
    """The largest delta at which at most a share `rate` of harmless streams raises an alarm (section 5.3: no alarm).

    Args:
        streams: images uint8 [N, H, W, C] and the victim's answers int64 [N] of each.
        settings: how it will be tested; their delta and ceiling are not looked at.
        rate: in [0, 1).

    Raises:
        DataError: no stream is long enough for one test.
    """
    lowest, _ = _extremes(streams, settings)
    # Of N streams the (rate N)-th lowest W is the first that may not raise an alarm; W below delta does.
    return float(min(lowest[int(rate * len(lowest))], 1.0))


def calibrate_band(streams: Streams, settings: PradaSettings, rate: float = 0.0) -> tuple[float, float]:
    """Delta and ceiling: a share `rate` / 2 of harmless streams at most is beyond each; see `calibrate_delta`."""
    lowest, highest = _extremes(streams, settings)
    row = int(rate / 2 * len(lowest))
    return float(min(lowest[row], 1.0)), float(max(highest[len(highest) - 1 - row], 0.0))


def _extremes(streams: Streams, settings: PradaSettings) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The lowest and the highest W of each stream, each sorted; infinite and minus infinite where there was no test."""
    lowest, highest = [], []
    for images, labels in streams:
        watching = Prada(replace(settings, delta=0.0, ceiling=1.0))
        watching.observe(images, labels)
        found = [statistic for _, statistic in watching.statistics]
        lowest.append(min(found, default=np.inf))
        highest.append(max(found, default=-np.inf))
    if not np.isfinite(lowest).any():
        raise DataError(
            f"no harmless stream is long enough for PRADA: a test needs more than {settings.least} distances",
            hint="calibrate on more images",
        )
    return np.sort(lowest), np.sort(highest)
