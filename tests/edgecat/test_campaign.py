"""Which thieves a campaign sends."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgecat.campaign import Campaign
from edgecat.directory import RunDirectory
from edgecat.journal import Journal
from edgecat.settings import make_settings
from foundation.errors import DataError, UsageError
from victim.dataset import Dataset, Split

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def dataset() -> Dataset:
    """Three classes, 40 images in each split."""
    splits = {}
    for first, name in enumerate(("train", "val", "test", "thief")):
        pixels = np.random.default_rng(first).integers(0, 256, (40, 16, 16, 1), np.uint8)
        splits[name] = Split(pixels, np.arange(40) % 3, np.arange(40) + 40 * first)
    return Dataset("squares", ("a", "b", "c"), **splits).checked()


def sent(
    dataset: Dataset, directory: Path, victim: str | None = None, **settings: object
) -> list[tuple[str, str, int]]:
    made = make_settings(data="squares.npz", **settings)
    campaign = Campaign(made, Journal(RunDirectory(directory)), dataset, victim)
    return [(thief.pool, thief.strategy, thief.seed) for thief in campaign.thieves]


@pytest.mark.parametrize(
    ("pool", "strategy", "budget", "expected"),
    [
        ("npd", "entropy", 100, ["random", "entropy"]),
        ("npd", "random", 100, ["random"]),
        ("pd:20", "amplify:kcenter", 100, ["amplify", "amplify:kcenter"]),
        ("pd:20", "jbda", 10, ["random", "jbda"]),
        # Twenty images do not pay for a hundred queries: variants do.
        ("pd:20", "jbda", 100, ["amplify", "jbda"]),
        ("none", "datafree", 100, ["datafree"]),
        ("npd+pd:20", "random+amplify", 100, ["random+amplify"]),
        ("npd+pd:20", "entropy+amplify:kcenter", 100, ["random+amplify", "entropy+amplify:kcenter"]),
    ],
)
def test_asking_at_random_stands_beside_every_strategy(
    dataset: Dataset, tmp_path: Path, pool: str, strategy: str, budget: int, expected: list[str]
) -> None:
    one = {"pools": (pool,), "strategies": (strategy,), "budgets": (budget,), "seeds": 1}
    assert [name for _, name, _ in sent(dataset, tmp_path, **one)] == expected
    assert [name for _, name, _ in sent(dataset, tmp_path, baseline=False, **one)] == [strategy]


def test_every_pool_meets_every_strategy_with_every_seed(dataset: Dataset, tmp_path: Path) -> None:
    found = sent(dataset, tmp_path, pools=("npd", "pd:30"), strategies=("entropy",), budgets=(30,), seeds=2, seed=5)
    assert found == [(p, s, seed) for p in ("npd", "pd:30") for s in ("random", "entropy") for seed in (5, 6)]


def test_the_thief_may_take_the_victims_architecture(dataset: Dataset, tmp_path: Path) -> None:
    made = make_settings(data="squares.npz", thief="same")
    journal = Journal(RunDirectory(tmp_path))
    assert {thief.architecture for thief in Campaign(made, journal, dataset, "mobile").thieves} == {"mobile"}
    with pytest.raises(UsageError, match="does not tell its architecture"):
        Campaign(made, journal, dataset, None)


def test_a_pool_that_cannot_pay_is_told_before_anything_is_trained(dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds 20 images, the budget is 21"):
        sent(dataset, tmp_path, pools=("pd:20",), strategies=("entropy",), budgets=(21,))
