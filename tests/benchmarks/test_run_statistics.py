"""Percentiles and bootstrap intervals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.statistics import (
    agreement_interval,
    difference_interval,
    evenly_picked,
    latency_summary,
    mean_interval,
    percentile,
    proportion_interval,
)
from foundation.errors import DataError

samples = st.lists(st.floats(0, 1e9), min_size=1, max_size=300)


def generator() -> np.random.Generator:
    return np.random.default_rng(3)


@given(samples, st.floats(0, 100))
def test_linear_percentiles_are_numpys(values: list[float], q: float) -> None:
    assert percentile(values, q) == np.percentile(values, q)


@given(samples, st.integers(0, 99))
def test_tflite_percentiles_are_the_floor_nearest_rank(values: list[float], q: int) -> None:
    assert percentile(values, q, "tflite") == sorted(values)[len(values) * q // 100]


def test_tflites_hundredth_percentile_is_the_last_sample_and_its_median_of_two_the_larger() -> None:
    assert percentile([1, 9, 4], 100, "tflite") == 4
    assert percentile([1, 9, 4], 100) == 9
    assert percentile([2, 1], 50, "tflite") == 2


@pytest.mark.parametrize("bad", [[], [1.0, float("nan")], [float("inf")]])
def test_samples_that_are_none_or_not_finite_are_refused(bad: list[float]) -> None:
    for statistic in (latency_summary, lambda s: percentile(s, 50), lambda s: mean_interval(s, generator())):
        with pytest.raises(DataError):
            statistic(bad)


def test_percentiles_beyond_a_hundred_are_refused() -> None:
    with pytest.raises(ValueError, match="101"):
        percentile([1.0], 101)


@given(samples)
def test_a_summary_is_ordered(values: list[float]) -> None:
    found = latency_summary(values)
    assert found.count == len(values)
    assert found.min <= found.p50 <= found.p90 <= found.p99 <= found.max
    assert found.std == pytest.approx(np.std(values))


@given(st.integers(1, 5000), st.integers(2, 2000))
def test_picked_samples_are_few_in_order_and_hold_both_ends(count: int, limit: int) -> None:
    picked = evenly_picked(range(count), limit)
    assert len(picked) == min(count, limit)
    assert picked == sorted(set(picked))
    assert (picked[0], picked[-1]) == (0, count - 1)


@pytest.mark.parametrize("value", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("count", [1, 20])
def test_equal_values_give_the_interval_of_one_point(value: float, count: int) -> None:
    assert mean_interval([value] * count, generator()) == (value, value)


@given(st.lists(st.booleans(), min_size=1, max_size=60))
@settings(deadline=None, max_examples=40)
def test_a_proportions_interval_holds_the_proportion_and_stays_within_zero_and_one(hits: list[bool]) -> None:
    low, high = proportion_interval(hits, generator())
    assert 0 <= low <= np.mean(hits) <= high <= 1


def test_a_proportions_interval_is_as_wide_as_the_normal_approximation() -> None:
    hits = np.arange(1000) < 800
    low, high = proportion_interval(hits, generator())
    assert high - low == pytest.approx(2 * 1.96 * np.sqrt(0.8 * 0.2 / 1000), rel=0.08)


def test_the_same_generator_gives_the_same_interval() -> None:
    hits = np.arange(100) % 3 == 0
    assert proportion_interval(hits, generator()) == proportion_interval(hits, generator())
    assert agreement_interval([hits, ~hits], generator()) == agreement_interval([hits, ~hits], generator())


def test_one_seeds_agreement_varies_with_the_images_only() -> None:
    hits = np.arange(1000) < 800
    low, high = agreement_interval([hits], generator())
    assert high - low == pytest.approx(2 * 1.96 * np.sqrt(0.8 * 0.2 / 1000), rel=0.08)


def test_seeds_that_agree_on_the_same_images_do_not_narrow_the_interval() -> None:
    hits = np.arange(1000) < 800
    low, high = agreement_interval([hits] * 5, generator())
    assert high - low == pytest.approx(2 * 1.96 * np.sqrt(0.8 * 0.2 / 1000), rel=0.08)


def test_seeds_that_differ_widen_the_interval() -> None:
    order = np.random.default_rng(0)
    alike = [order.permutation(np.arange(500) < 300) for _ in range(5)]
    apart = [order.permutation(np.arange(500) < right) for right in (200, 250, 300, 350, 400)]
    narrow, wide = agreement_interval(alike, generator()), agreement_interval(apart, generator())
    assert wide[1] - wide[0] > 1.5 * (narrow[1] - narrow[0])


def test_drawing_kinds_of_images_equals_drawing_images() -> None:
    hits = np.random.default_rng(1).random((3, 200)) < [[0.6], [0.7], [0.8]]
    chance = np.random.default_rng(2)
    means = []
    for _ in range(4000):
        drawn = hits[chance.integers(3, size=3)][:, chance.integers(200, size=200)]
        means.append(drawn.mean())
    assert agreement_interval(list(hits), generator()) == pytest.approx(np.percentile(means, [2.5, 97.5]), abs=0.008)


@pytest.mark.parametrize("hits", [[], [[]], [[True], [True, False]]])
def test_agreement_needs_seeds_and_the_same_images_for_each(hits: list[list[bool]]) -> None:
    with pytest.raises(DataError):
        agreement_interval(hits, generator())


@pytest.mark.parametrize("value", [True, False])
def test_agreement_that_never_varies_is_one_point(value: bool) -> None:
    assert agreement_interval([[value] * 9] * 3, generator()) == (float(value), float(value))


def test_pairing_cancels_what_makes_an_image_hard_for_everybody() -> None:
    chance = np.random.default_rng(0)
    hard = np.arange(400) < 120
    baseline = [~hard] * 3
    better = [~hard | (hard & (chance.random(400) < 0.2)) for _ in range(3)]
    low, high = difference_interval(better, baseline, generator())
    apart = [interval[1] - interval[0] for interval in (agreement_interval(x, generator()) for x in (better, baseline))]
    assert 0 < low < np.mean(better) - np.mean(baseline) < high
    assert high - low < 0.6 * min(apart)


def test_a_difference_has_the_width_of_its_normal_approximation() -> None:
    chance = np.random.default_rng(0)
    own, other = chance.random(1000) < 0.8, chance.random(1000) < 0.7
    low, high = difference_interval([own], [other], generator())
    spread = (own.astype(int) - other).std() / np.sqrt(1000)
    assert high - low == pytest.approx(2 * 1.96 * spread, rel=0.08)


def test_the_difference_changes_its_sign_with_the_sides() -> None:
    chance = np.random.default_rng(0)
    own, other = (list(chance.random((3, 300)) < level) for level in (0.8, 0.6))
    low, high = difference_interval(own, other, generator())
    assert low > 0
    assert difference_interval(other, own, generator()) == pytest.approx((-high, -low), abs=0.01)


def test_a_thief_does_not_differ_from_itself() -> None:
    hits = list(np.random.default_rng(0).random((3, 100)) < 0.6)
    assert difference_interval(hits, hits, generator()) == (0, 0)


@pytest.mark.parametrize(("own", "other"), [([], []), ([[True]], []), ([[True, False]], [[True]])])
def test_a_difference_needs_pairs(own: list[list[bool]], other: list[list[bool]]) -> None:
    with pytest.raises(DataError):
        difference_interval(own, other, generator())
