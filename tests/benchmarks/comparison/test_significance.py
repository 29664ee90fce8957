"""A test whose unit is the process: it finds what is there, and is not fooled by what samples of a process share."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from benchmarks.comparison.significance import Change, change_of_medians, cliffs_delta, mcnemar
from foundation.errors import DataError

Run = list[NDArray[np.float64]]


def run(generator: np.random.Generator, middle: float = 200.0, processes: int = 6, luck: float = 0.03) -> Run:
    """Processes that each have a luck of their own, which all their samples share; a long right tail."""
    medians = middle * np.exp(generator.normal(0, luck, processes))
    return [median * generator.lognormal(0, 0.02, 120) for median in medians]


def changes(middle: float, pairs: int = 60, luck: float = 0.03) -> list[Change]:
    generator = np.random.default_rng(7)
    return [
        change_of_medians(run(generator, luck=luck), run(generator, middle, luck=luck), generator) for _ in range(pairs)
    ]


def test_two_runs_of_the_same_seldom_differ_where_a_test_of_all_samples_always_says_so() -> None:
    assert np.mean([change.significant for change in changes(200.0)]) <= 0.08
    generator = np.random.default_rng(7)
    pooled = [
        stats.mannwhitneyu(np.concatenate(run(generator)), np.concatenate(run(generator))).pvalue <= 0.05
        for _ in range(60)
    ]
    assert np.mean(pooled) > 0.5


def test_ten_percent_are_found_over_a_spread_of_three() -> None:
    found = changes(220.0, 40)
    assert np.mean([change.significant and change.ratio > 1 for change in found]) >= 0.9
    assert (
        np.mean([change.interval is not None and change.interval[0] <= 1.1 <= change.interval[1] for change in found])
        > 0.7
    )


def test_a_clear_difference_of_less_than_a_percent_is_none() -> None:
    (change,) = changes(201.0, 1, luck=0.0001)
    assert change.p_value is not None
    assert change.p_value < 0.01
    assert not change.significant


def test_one_process_each_tells_a_ratio_and_no_more() -> None:
    generator = np.random.default_rng(0)
    change = change_of_medians(run(generator, 100, 1), run(generator, 200, 1), generator)
    assert change.ratio == pytest.approx(2, rel=0.3)
    assert (change.p_value, change.interval, change.significant, change.effect) == (None, None, False, 1.0)


def test_three_processes_give_an_interval_and_no_verdict() -> None:
    generator = np.random.default_rng(0)
    change = change_of_medians(run(generator, 100, 3), run(generator, 200, 3), generator)
    assert change.interval is not None
    assert change.interval[0] > 1
    assert (change.p_value, change.significant) == (None, False)


def test_drift_within_a_process_widens_the_interval() -> None:
    generator = np.random.default_rng(0)
    noise = [100 + generator.normal(0, 5, 400) for _ in range(4)]
    drifting = [np.sort(samples) for samples in noise]
    steady, other = [np.full(400, 100.0)] * 4, np.random.default_rng(1)
    mixed = change_of_medians(steady, noise, other).interval
    sorted_ = change_of_medians(steady, drifting, other).interval
    assert mixed is not None
    assert sorted_ is not None
    assert sorted_[1] - sorted_[0] > 2 * (mixed[1] - mixed[0])


def test_the_same_seed_gives_the_same_change() -> None:
    generator = np.random.default_rng(0)
    a, b = run(generator), run(generator)
    assert change_of_medians(a, b, np.random.default_rng(3)) == change_of_medians(a, b, np.random.default_rng(3))


@pytest.mark.parametrize(("a", "b"), [([], [[1.0]]), ([[1.0], []], [[1.0]]), ([[0.0]], [[1.0]])])
def test_runs_without_latencies_are_refused(a: list[list[float]], b: list[list[float]]) -> None:
    with pytest.raises(DataError):
        change_of_medians([np.array(s) for s in a], [np.array(s) for s in b], np.random.default_rng(0))


def test_effects_are_those_of_the_textbook() -> None:
    # Of nine pairs one is a tie, six rise, two fall.
    assert cliffs_delta(np.array([1.0, 3.0, 5.0]), np.array([2.0, 5.0, 6.0])) == pytest.approx((6 - 2) / 9)
    right = np.array([True] * 9 + [False])
    wrong_on_nine = np.array([False] * 9 + [True])
    assert mcnemar(right, right) == 1
    assert mcnemar(right, wrong_on_nine) == pytest.approx(22 / 2**10)
