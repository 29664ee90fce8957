"""Whether two runs differ, and by how much.

The unit of latency is the process: samples of one process follow one another (they are autocorrelated) and share what
it happened to get: addresses, a core, a clock, neighbours. Thousands of samples of one process are therefore one draw
of that luck, and a test that takes them for independent finds a "significant" difference between any two processes.
So the Mann-Whitney test is made on one number of each process, its median, and intervals draw processes first and
blocks of samples within them second. docs/compare.md says more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from benchmarks.records import Interval
from benchmarks.statistics import LEVEL, RESAMPLES
from foundation.errors import DataError

ALPHA = 1 - LEVEL
# Of a p-value of latency: half of what false alarms may be, so that they stay below it on a busy machine too.
ALPHA_LATENCY = ALPHA / 2
# With four processes on each side not even the clearest order is as rare as that (p = 0.029).
FEWEST = 5
# Where code and data come to lie changes times by as much without any change worth telling (Mytkowicz and others,
# ASPLOS 2009).
SMALLEST = 0.01
_WITHIN = 200

Samples = Sequence[NDArray[np.float64]]


@dataclass(frozen=True)
class Change:
    """From run A to run B.

    Attributes:
        medians: of A and B: the median of the processes' medians, in the samples' unit.
        ratio: B's over A's.
        interval: 95 % bootstrap interval of the ratio; None: a run has one process, whose luck nothing tells.
        p_value: Mann-Whitney's, two-sided, on the processes' medians; None: fewer than `FEWEST` on one side.
        effect: Cliff's delta of all samples, in [-1, 1]: how much more often a sample of B is above one of A than
            below it. A description, not a test.
    """

    medians: tuple[float, float]
    ratio: float
    interval: Interval | None
    p_value: float | None
    effect: float

    @property
    def significant(self) -> bool:
        """Whether the test finds a difference at 2.5 %, and it is 1 % or more."""
        return self.p_value is not None and self.p_value <= ALPHA_LATENCY and abs(self.ratio - 1) >= SMALLEST


def change_of_medians(a: Samples, b: Samples, generator: np.random.Generator) -> Change:
    """How latency changed from run A to run B.

    Args:
        a, b: for each process its samples in the order measured, float64 [n], n ≥ 1, above 0.
        generator: the source of chance of the bootstrap.

    Raises:
        DataError: a run without processes, a process without samples, or a latency that is not above 0.
    """
    if not a or not b or not all(len(samples) for samples in (*a, *b)):
        raise DataError("a run without samples cannot be compared")
    if min(float(np.min(samples)) for samples in (*a, *b)) <= 0:
        raise DataError("a latency of 0 or less was never measured")
    of_a, of_b = (np.array([np.median(samples) for samples in run]) for run in (a, b))
    medians = float(np.median(of_a)), float(np.median(of_b))
    return Change(
        medians=medians,
        ratio=medians[1] / medians[0],
        interval=_interval(a, b, generator) if min(len(a), len(b)) > 1 else None,
        p_value=_p_value(of_a, of_b) if min(len(a), len(b)) >= FEWEST else None,
        effect=cliffs_delta(np.concatenate(list(a)), np.concatenate(list(b))),
    )


def cliffs_delta(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """P(B > A) - P(B < A) over all pairs (Cliff 1993); also the rank-biserial correlation of the U statistic."""
    u = stats.mannwhitneyu(b, a, method="asymptotic").statistic
    return float(2 * u / (len(a) * len(b)) - 1)


def mcnemar(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    """Exact p-value, two-sided, that A and B are right equally often (McNemar 1947), on the same test images.

    Args:
        a, b: bool [images]: whether each was right.
    """
    only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
    if only_a + only_b == 0:
        return 1.0
    return float(stats.binomtest(only_b, only_a + only_b).pvalue)


def _p_value(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    return float(stats.mannwhitneyu(b, a, alternative="two-sided").pvalue)


def _interval(a: Samples, b: Samples, generator: np.random.Generator) -> Interval:
    """Two-stage bootstrap (Davison and Hinkley, 1997, 3.8): processes with replacement, blocks of samples within."""
    ratios = _resampled(b, generator) / _resampled(a, generator)
    tail = 100 * ALPHA / 2
    low, high = np.percentile(ratios, [tail, 100 - tail])
    return float(low), float(high)


def _resampled(run: Samples, generator: np.random.Generator) -> NDArray[np.float64]:
    """Medians of resampled runs, float64 [RESAMPLES]."""
    within = np.stack([_block_medians(samples, generator) for samples in run])
    chosen = generator.integers(0, len(run), (RESAMPLES, len(run)))
    of_each = within[chosen, generator.integers(0, _WITHIN, chosen.shape)]
    medians: NDArray[np.float64] = np.median(of_each, axis=1)
    return medians


def _block_medians(samples: NDArray[np.float64], generator: np.random.Generator) -> NDArray[np.float64]:
    """Medians of one process, resampled in blocks that wrap around (Politis and Romano 1992), float64 [_WITHIN]."""
    count = len(samples)
    length = max(1, round(count**0.5))
    starts = generator.integers(0, count, (_WITHIN, -(-count // length)))
    places = (starts[:, :, None] + np.arange(length)).reshape(_WITHIN, -1)[:, :count] % count
    medians: NDArray[np.float64] = np.median(samples[places], axis=1)
    return medians
