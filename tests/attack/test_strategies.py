"""Strategies: a function of pool and seed alone, however they are asked."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from victims_in_process import numbered_images

from attack.ledger import image_hash
from attack.paid import Paid
from attack.pools import Pool, find_pool
from attack.strategies import State, Strategy, find_strategy
from foundation.errors import DataError, ExitCode, UsageError
from victim.dataset import Dataset

pytestmark = pytest.mark.timeout(60)

IMAGES = numbered_images(30)
ENDLESS = Pool("npd", None, lambda rows: np.concatenate([numbered_images(1, int(row)) for row in rows]), str)


def pool_of(images: NDArray[np.uint8]) -> Pool:
    return Pool("mine", len(images), lambda rows: images[rows], lambda row: f"mine/{row}")


class NoNotes:
    def note(self, key: str) -> bytes | None:
        return None

    def keep(self, key: str, value: bytes) -> None:
        pass


def no_substitute() -> torch.nn.Module:
    raise AssertionError("these strategies train nothing")


def wanting(count: int) -> State:
    """The state of a thief that wants so many images and knows nothing."""
    return State(count, Paid(), NoNotes(), no_substitute)


def make(name: str, pool: Pool, budget: int, seed: int) -> Strategy:
    return find_strategy(name, [pool], budget, seed)


def proposed(strategy: Strategy, *counts: int) -> tuple[NDArray[np.uint8], list[str]]:
    """What it proposes, asked for so many at a time."""
    parts = [strategy.propose(wanting(count)) for count in counts]
    return np.concatenate([p.images for p in parts if len(p.images)]), [n for p in parts for n in p.provenance]


def hashes(images: NDArray[np.uint8]) -> list[bytes]:
    return [image_hash(image) for image in images]


# --- random


def test_random_asks_about_each_image_of_the_pool_once_and_ends() -> None:
    strategy = make("random", pool_of(IMAGES), 20, 0)
    images, names = proposed(strategy, 12, 12, 12)
    assert len(images) == len(names) == 30
    assert sorted(hashes(images)) == sorted(hashes(IMAGES))
    assert [f"mine/{hashes(IMAGES).index(digest)}" for digest in hashes(images)] == names
    assert hashes(images) != hashes(IMAGES)
    over = strategy.propose(wanting(5))
    assert len(over.images) == len(over.provenance) == 0


def test_random_over_an_endless_pool_goes_on() -> None:
    images, names = proposed(make("random", ENDLESS, 9, 0), 40, 60)
    assert np.array_equal(images, numbered_images(100))
    assert names == [str(row) for row in range(100)]


def test_random_needs_a_pool_as_large_as_the_budget() -> None:
    make("random", pool_of(IMAGES), 30, 0)
    with pytest.raises(DataError, match="30 images, the budget is 31") as caught:
        make("random", pool_of(IMAGES), 31, 0)
    assert "amplify" in (caught.value.hint or "")


# --- amplify


def test_amplify_asks_about_the_originals_first() -> None:
    images, names = proposed(make("amplify", pool_of(IMAGES), 100, 0), 20, 30)
    assert np.array_equal(images[:30], IMAGES)
    assert names == ["mine"] * 30 + ["mine/amplified"] * 20


def test_amplify_holds_no_more_originals_than_the_budget_pays_for() -> None:
    images, names = proposed(make("amplify", pool_of(IMAGES), 8, 0), 8)
    assert np.array_equal(images, IMAGES[:8])
    assert names == ["mine"] * 8


def test_every_variant_differs_from_every_original_and_from_every_other() -> None:
    images, _ = proposed(make("amplify", pool_of(IMAGES), 1200, 0), 1200)
    assert images.dtype == np.uint8
    assert images.shape == (1200, 16, 16, 1)
    assert len(set(hashes(images))) == 1200


def test_variants_resemble_the_originals() -> None:
    smooth = np.repeat(np.linspace(20, 230, 16).astype(np.uint8)[None, :, None, None], 16, axis=2)
    images, _ = proposed(make("amplify", pool_of(smooth), 400, 0), 400)
    correlation = [np.corrcoef(image.ravel(), smooth[0].ravel())[0, 1] for image in images]
    assert min(correlation) > 0.8


def test_most_variants_are_blends() -> None:
    # Two flat originals far apart: a level between what contrast and brightness can reach is a blend of both.
    flat = np.stack([np.full((16, 16, 1), level, np.uint8) for level in (40, 210)])
    images, _ = proposed(make("amplify", pool_of(flat), 2000, 0), 2000)
    levels = images[2:, 8, 8, 0].astype(int)
    between = ((levels > 40 + 44) & (levels < 210 - 44)).mean()
    # Four in five are blends, half of those of two levels, and these reach as far as that more often than not.
    assert 0.15 < between < 0.4


@settings(deadline=None, max_examples=25)
@given(counts=st.lists(st.integers(1, 400), min_size=1, max_size=8), seed=st.integers(0, 2**32))
@pytest.mark.parametrize("name", ["amplify", "random"])
def test_proposals_do_not_depend_on_how_many_are_asked_for_at_once(name: str, counts: list[int], seed: int) -> None:
    pool = pool_of(IMAGES) if name == "amplify" else pool_of(np.repeat(IMAGES, 80, axis=0))
    whole, names = proposed(make(name, pool, 40, seed), sum(counts))
    pieces, piece_names = proposed(make(name, pool, 40, seed), *counts)
    assert np.array_equal(pieces, whole)
    assert piece_names == names


@pytest.mark.parametrize("name", ["random", "amplify"])
def test_the_seed_alone_decides(name: str) -> None:
    def walk(seed: int) -> list[bytes]:
        return hashes(proposed(make(name, pool_of(IMAGES), 30, seed), 17, 13)[0])

    torch.manual_seed(1)
    np.random.seed(1)
    first = walk(5)
    torch.manual_seed(2)
    np.random.seed(2)
    assert walk(5) == first
    if name == "random":
        assert walk(6) != first


def test_another_seed_makes_other_variants() -> None:
    one, other = (proposed(make("amplify", pool_of(IMAGES), 200, seed), 200)[0] for seed in (0, 1))
    assert not set(hashes(one[30:])) & set(hashes(other[30:]))


def test_variants_are_the_same_on_one_thread_and_on_two() -> None:
    threads = torch.get_num_threads()
    big = numbered_images(20, 0, (64, 64, 3))
    try:
        walks = []
        for count in (1, 2):
            torch.set_num_threads(count)
            walks.append(proposed(make("amplify", pool_of(big), 270, 3), 270)[0])
    finally:
        torch.set_num_threads(threads)
    assert np.array_equal(*walks)


def test_amplify_refuses_a_pool_without_end(dataset: Dataset) -> None:
    with pytest.raises(UsageError, match="npd has no end") as caught:
        make("amplify", find_pool("npd", dataset, 0), 10, 0)
    assert "random" in (caught.value.hint or "")


def test_an_unknown_strategy_is_wrong_usage() -> None:
    with pytest.raises(UsageError, match="unknown strategy 'active'") as caught:
        make("active", pool_of(IMAGES), 10, 0)
    assert caught.value.exit_code == ExitCode.USAGE
    assert "amplify, random" in (caught.value.hint or "")
