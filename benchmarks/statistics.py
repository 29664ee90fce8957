"""Statistics of the records: latency percentiles and bootstrap intervals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from benchmarks.records import RAW_LIMIT, Distribution
from foundation.errors import DataError

LEVEL = 0.95
RESAMPLES = 4000
# How much the end of a measurement may differ from its beginning; docs/benchmarking.md.
DRIFT_LIMIT = 0.05
_DRIFT_BLOCKS = 30
# Bounds a batch of resampled values to some tens of megabytes.
_BATCH_VALUES = 2_000_000


def percentile(samples: ArrayLike, q: float, method: Literal["linear", "tflite"] = "linear") -> float:
    """The q-th percentile.

    Args:
        samples: N ≥ 1 numbers, in the order measured.
        q: in [0, 100].
        method: `linear` interpolates between the two nearest ranks (numpy's default). `tflite` is what
            `benchmark_model` prints (xla/tsl/util/stats_calculator.h): the value of rank floor(N q / 100), never
            interpolated, which for N = 2 makes the median the larger of the two; and for q = 100 the *last* sample,
            which need not be the largest.

    Raises:
        DataError: no samples, or one that is not finite.
        ValueError: q out of range.
    """
    values = _finite(samples)
    if not 0 <= q <= 100:
        raise ValueError(f"percentile {q} is not in [0, 100]")
    if method == "linear":
        return float(np.percentile(values, q))
    if q == 100:
        return float(values[-1])
    return float(np.sort(values)[int(len(values) * q / 100)])


def latency_summary(samples_us: ArrayLike) -> Distribution:
    """Count, mean, population standard deviation, extremes and linear percentiles of N ≥ 1 samples.

    Raises:
        DataError: no samples, or one that is not finite.
    """
    values = _finite(samples_us)
    p50, p90, p99 = (percentile(values, q) for q in (50, 90, 99))
    return Distribution(
        count=len(values),
        mean=float(values.mean()),
        std=float(values.std()),
        min=float(values.min()),
        p50=p50,
        p90=p90,
        p99=p99,
        max=float(values.max()),
    )


def evenly_picked(samples: ArrayLike, limit: int = RAW_LIMIT) -> list[float]:
    """At most `limit` of the samples, evenly spread over the time of measuring, the first and the last among them."""
    values = np.asarray(samples, np.float64)
    if len(values) > limit:
        values = values[np.linspace(0, len(values) - 1, limit).round().astype(np.int64)]
    return [float(value) for value in values]


def drift(samples: ArrayLike) -> float | None:
    """How much higher the end is than the beginning, as a share of the median; below 0: lower.

    The slope through the medians of 30 blocks of consecutive samples by Theil (1950) and Sen (1968): the median of all
    pairs' slopes, which up to 29 % of outlying blocks do not move. Times 29: from the first block to the last.

    Args:
        samples: N numbers above 0, in the order measured.

    Returns:
        None for N < 30.

    Raises:
        DataError: a sample is not finite.
    """
    if len(np.atleast_1d(samples)) < _DRIFT_BLOCKS:
        return None
    values = _finite(samples)
    blocks = [float(np.median(block)) for block in np.array_split(values, _DRIFT_BLOCKS)]
    slope = float(stats.theilslopes(blocks).slope)
    return slope * (_DRIFT_BLOCKS - 1) / float(np.median(values))


def has_drifted(samples: ArrayLike) -> bool | None:
    """Whether `drift`, or the last third's median over the first's, is beyond 5 % either way; None for N < 30."""
    values, slope = np.asarray(samples, np.float64), drift(samples)
    if slope is None:
        return None
    third = len(values) // 3
    step = float(np.median(values[-third:]) / np.median(values[:third])) - 1
    return max(abs(slope), abs(step)) > DRIFT_LIMIT


def mean_interval(values: ArrayLike, generator: np.random.Generator) -> tuple[float, float]:
    """95 % bootstrap interval of a mean, bias-corrected and accelerated (BCa; Efron 1987).

    Values that are all equal give (v, v): the bootstrap knows no more than the sample, so that 20 right of 20 reads as
    certainty. Report the number of values beside it.

    Args:
        values: N ≥ 1 numbers, or booleans for a proportion.
        generator: the source of chance.

    Raises:
        DataError: no values, or one that is not finite.
    """
    array = _finite(values)
    if np.ptp(array) == 0:
        return float(array[0]), float(array[0])
    found = stats.bootstrap(
        (array,),
        np.mean,
        confidence_level=LEVEL,
        n_resamples=RESAMPLES,
        batch=max(1, _BATCH_VALUES // len(array)),
        method="BCa",
        random_state=generator,
    ).confidence_interval
    return float(found.low), float(found.high)


def proportion_interval(hits: ArrayLike, generator: np.random.Generator) -> tuple[float, float]:
    """95 % bootstrap interval of the share of true values; `mean_interval` of booleans [N]."""
    return mean_interval(np.asarray(hits, bool), generator)


def agreement_interval(
    hits: Sequence[ArrayLike], generator: np.random.Generator, resamples: int = RESAMPLES
) -> tuple[float, float]:
    """95 % interval of a mean agreement over seeds and over test images.

    Both are samples: other seeds would have made other thieves, other patients another test split. Each resample draws
    seeds with replacement and, once for all of them, test images with replacement, because every seed is judged on the
    same images (the crossed or *pigeonhole* bootstrap; Owen, Ann. Appl. Stat. 1(2), 2007). The interval is the 2.5th to
    97.5th percentile of the means. One seed gives the interval over images alone; few seeds (3 to 5) make it somewhat
    too narrow, as resampling S seeds shows (S - 1) / S of their variance.

    Args:
        hits: for each seed, booleans [images]: whether thief and reference agree; the same images in the same order.
        generator: the source of chance.
        resamples: how many; time grows with them.

    Raises:
        DataError: no seeds, no images, or seeds that were judged on different numbers of images.
    """
    return _crossed_interval(hits, generator, resamples)


def difference_interval(
    hits: Sequence[ArrayLike], baseline: Sequence[ArrayLike], generator: np.random.Generator
) -> tuple[float, float]:
    """95 % interval of how much more often `hits` agree than `baseline` does, in [-1, 1].

    Paired: seed by seed and image by image, as both were judged on the same images; so what makes an image hard for
    everybody, or a seed's pool poor, cancels out. Resampled as in `agreement_interval`.

    Args:
        hits: for each seed, booleans [images]: whether thief and reference agree.
        baseline: the same of the other thief: the same seeds and the same images, in the same order.
        generator: the source of chance.

    Raises:
        DataError: no seeds, no images, or not a pair for each.
    """
    if len(hits) != len(baseline) or any(
        len(np.asarray(a)) != len(np.asarray(b)) for a, b in zip(hits, baseline, strict=True)
    ):
        raise DataError("a paired difference needs the same seeds and the same test images on both sides")
    differences = [np.asarray(a, bool).astype(int) - np.asarray(b, bool) for a, b in zip(hits, baseline, strict=True)]
    return _crossed_interval(differences, generator)


def _crossed_interval(
    rows: Sequence[ArrayLike], generator: np.random.Generator, resamples: int = RESAMPLES
) -> tuple[float, float]:
    """95 % interval of the mean of a few different values by seed and image; see `agreement_interval`."""
    if not rows or len({len(np.asarray(row)) for row in rows}) != 1:
        raise DataError("agreement over seeds needs at least one seed, and the same test images for each")
    table = _finite(np.asarray(rows, np.float64))
    seeds, images = table.shape
    if np.ptp(table) == 0:
        return float(table[0, 0]), float(table[0, 0])
    # Images that the seeds judge alike are interchangeable: drawing images is drawing how many of each kind there are.
    kinds, counts = np.unique(table, axis=1, return_counts=True)
    of_seeds = generator.multinomial(seeds, np.full(seeds, 1 / seeds), size=resamples) / seeds
    of_images = generator.multinomial(images, counts / images, size=resamples) / images
    means = np.einsum("rs,sk,rk->r", of_seeds, kinds, of_images, optimize=True)
    tail = 100 * (1 - LEVEL) / 2
    low, high = np.percentile(means, [tail, 100 - tail])
    return float(low), float(high)


def _finite(samples: ArrayLike) -> NDArray[np.float64]:
    values = np.asarray(samples, np.float64)
    if not values.size:
        raise DataError("no samples to make statistics of")
    if not np.isfinite(values).all():
        raise DataError("a sample is not a finite number")
    return values
