"""Settings as people write them."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from edgecat.settings import CURVE, RunSettings, make_settings, parse_budgets
from foundation.errors import DataError, ExitCode, UsageError

from .command_line import Ended


@pytest.mark.parametrize(
    ("words", "budgets"),
    [
        (["2000"], (2000,)),
        (["2k", "250"], (250, 2000)),
        (["250,1k, 1M"], (250, 1000, 1_000_000)),
        (["500", "500"], (500,)),
        (["curve"], CURVE),
        (["curve,100k"], (*CURVE, 100_000)),
    ],
)
def test_budgets_are_numbers_with_suffixes_joined_by_commas(words: list[str], budgets: tuple[int, ...]) -> None:
    assert parse_budgets(words) == budgets


@pytest.mark.parametrize("word", ["", "0", "-1", "1e3", "1.5k", "2K", "k", "1,", "curves", "9" * 13])
def test_what_is_no_number_of_queries_is_told(word: str) -> None:
    with pytest.raises(UsageError, match="no number of queries") as caught:
        parse_budgets([word])
    assert caught.value.exit_code == ExitCode.USAGE


def test_the_curve_doubles_from_250_to_16000() -> None:
    assert CURVE[0] == 250
    assert CURVE[-1] == 16_000
    assert all(2 * low == high for low, high in pairwise(CURVE))


def test_random_is_beside_every_strategy_unless_refused() -> None:
    assert RunSettings().baseline


def test_a_quick_run_is_smaller_in_what_nobody_asked_for() -> None:
    assert (make_settings(quick=True).budgets, make_settings(quick=True).seeds) == ((250, 1000), 1)
    asked = make_settings(quick=True, budgets=(500,), seeds=2)
    assert (asked.budgets, asked.seeds) == ((500,), 2)
    assert make_settings().seeds == 3


@pytest.mark.parametrize(("words", "seeds"), [((), 3), (("--quick",), 1), (("--quick", "--seeds", "3"), 3)])
def test_the_command_line_leaves_the_number_of_thieves_to_a_quick_run(
    words: tuple[str, ...],
    seeds: int,
    edgecat_here: Callable[..., Ended],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    asked: list[RunSettings] = []

    def walk(settings: RunSettings, *_: object) -> None:
        asked.append(settings)
        raise DataError("far enough")

    monkeypatch.setattr("edgecat.pipeline.run", walk)
    assert edgecat_here("run", "--out", tmp_path / "out", *words).code == ExitCode.DATA
    assert [settings.seeds for settings in asked] == [seeds]
