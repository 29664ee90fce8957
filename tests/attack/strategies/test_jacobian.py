"""JBDA-TR: images of its own making, pushed over the substitute's boundary, made again from notes."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray
from victims_in_process import KnownVictim, brighter_half, fixed_logits, half_images, numbered_images
from walks import Notebook, Walk, halves, linear, pool_of, untrained

from attack.pools import Pool
from attack.strategies import find_strategy, jacobian
from attack.strategies.jacobian import REACH, push
from attack.strategies.packing import pack, unpack
from attack.strategies.substitute import probabilities

pytestmark = pytest.mark.timeout(60)


def test_pushed_images_stay_within_reach_and_those_near_the_boundary_go_over_it() -> None:
    network, images = halves(), half_images(200, 0)
    targets = 1 - probabilities(network, images).argmax(axis=1)
    pushed = push(network, images, targets)
    assert pushed.dtype == np.uint8
    assert pushed.shape == images.shape
    assert np.abs(pushed.astype(int) - images).max() <= REACH
    # Either half may be moved by the reach, where it is not black or white before.
    gap = np.abs(brighter_half(images)[:, 0] * 8)
    over = probabilities(network, pushed).argmax(axis=1) == targets
    assert over[gap < 1.8 * REACH].all()
    assert over.sum() > 5
    assert not over[gap > 2 * REACH].any()


def walk(pool: Pool, *counts: int, notes: Notebook | None = None, trains: bool = True) -> Walk:
    network = linear()
    strategy = find_strategy("jbda", [pool], 10_000, 0)
    known = Notebook() if notes is None else notes
    return Walk(strategy, KnownVictim(fixed_logits(3), 3), (lambda: network) if trains else untrained, known).go(counts)


def test_few_images_double_with_every_round() -> None:
    # Another substitute each round: the same one pushes the same image to the same class by the same way.
    seeds = itertools.count()
    strategy = find_strategy("jbda", [pool_of(numbered_images(12))], 10_000, 0)
    walked = Walk(strategy, KnownVictim(fixed_logits(3), 3), lambda: linear(seed=next(seeds))).go([5000] * 5)
    assert [len(part) for part in walked.proposed] == [12, 12, 24, 48, 96]
    assert walked.trained == 4
    assert {origin.split("/")[1] for origin in walked.origins[12:]} == {"jacobian"}


def test_every_grown_image_is_near_an_image_before_it() -> None:
    first, second = walk(pool_of(numbered_images(20)), 20, 20).proposed
    gap = np.abs(second[:, None].astype(int) - first[None]).max(axis=(2, 3, 4)).min(axis=1)
    assert gap.max() <= REACH
    assert gap.min() > 0


def test_the_seeds_are_of_the_pool_and_no_more_than_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jacobian, "SEEDS", 10)
    images = numbered_images(30)
    (seeds,) = walk(pool_of(images), 500).proposed
    assert len(seeds) == 10
    assert all((image == images).all(axis=(1, 2, 3)).any() for image in seeds)


def test_a_round_of_repeats_goes_on_with_further_images_and_then_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """A substitute without slope moves nothing."""
    monkeypatch.setattr(jacobian, "SEEDS", 10)
    flat = linear()
    flat.weights.data.zero_()
    strategy = find_strategy("jbda", [pool_of(numbered_images(25))], 10_000, 0)
    walked = Walk(strategy, KnownVictim(fixed_logits(3), 3), lambda: flat).go([500] * 20)
    assert [len(part) for part in walked.proposed] == [10, 10, 5]


def test_a_round_is_made_again_from_its_note_pixel_for_pixel() -> None:
    notes, pool = Notebook(), pool_of(numbered_images(12))
    whole = walk(pool, *[30] * 8, notes=notes)
    again = walk(pool, *[30] * 8, notes=notes, trains=False)
    assert np.array_equal(again.images, whole.images)


def test_a_note_is_smaller_than_its_images() -> None:
    smooth = np.broadcast_to(np.linspace(0, 200, 16).astype(np.uint8)[None, :, None, None], (12, 16, 16, 1)).copy()
    smooth += np.arange(12, dtype=np.uint8)[:, None, None, None]
    notes = Notebook()
    walked = walk(pool_of(smooth), *[500] * 6, notes=notes)
    assert sum(map(len, notes.values())) < walked.images[12:].nbytes


def test_packed_arrays_come_back_as_they_were() -> None:
    arrays: dict[str, NDArray[np.generic]] = {"a": numbered_images(3), "b": np.arange(4.0)}
    found = unpack(pack(**arrays))
    assert sorted(found) == ["a", "b"]
    assert all(np.array_equal(found[name], arrays[name]) for name in arrays)
