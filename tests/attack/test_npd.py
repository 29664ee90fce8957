"""Non-problem-domain images: replayed bit for bit, of every family, varied."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import RandomForestClassifier

from attack.npd import BLOCK, FAMILIES, family_of, generate
from foundation.errors import UsageError
from foundation.files import sha256_arrays

SMALL = (16, 16, 1)


@settings(deadline=None, max_examples=15)
@given(first=st.integers(0, 300), cuts=st.lists(st.integers(0, 90), max_size=5), seed=st.integers(0, 2**63))
def test_images_do_not_depend_on_how_the_stream_is_cut(first: int, cuts: list[int], seed: int) -> None:
    whole = generate(first, sum(cuts), seed, SMALL)
    start, parts = first, [whole[:0]]
    for cut in cuts:
        parts.append(generate(start, cut, seed, SMALL))
        start += cut
    assert np.array_equal(np.concatenate(parts), whole)


def test_one_image_asked_alone_is_the_one_of_the_stream() -> None:
    stream = generate(0, 3 * BLOCK, 5, (32, 32, 3))
    for index in (0, BLOCK - 1, BLOCK, 2 * BLOCK + 17):
        assert np.array_equal(generate(index, 1, 5, (32, 32, 3))[0], stream[index])


def test_another_process_makes_the_same_images() -> None:
    code = (
        "from attack.npd import generate; from foundation.files import sha256_arrays;"
        "print(sha256_arrays(generate(50, 100, 7, (64, 64, 1))))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.strip() == sha256_arrays(generate(50, 100, 7, (64, 64, 1)))


def test_changing_what_is_returned_does_not_change_the_next_answer() -> None:
    first = generate(0, 10, 3, SMALL)
    kept = first.copy()
    first[:] = 0
    assert np.array_equal(generate(0, 10, 3, SMALL), kept)


@pytest.mark.parametrize("shape", [(64, 64, 1), (64, 64, 3), (28, 28, 1), (8, 8, 3), (48, 96, 1), (97, 33, 3)])
def test_images_have_the_shape_asked_for(shape: tuple[int, int, int]) -> None:
    images = generate(3, BLOCK, 0, shape)
    assert images.dtype == np.uint8
    assert images.shape == (BLOCK, *shape)
    assert images.flags.c_contiguous


def test_no_images_can_be_asked_for() -> None:
    assert generate(7, 0, 0, (64, 64, 1)).shape == (0, 64, 64, 1)


def test_no_image_is_constant_and_none_comes_twice() -> None:
    images = generate(0, 12 * BLOCK, 2, (64, 64, 1)).reshape(12 * BLOCK, -1)
    assert (np.ptp(images, axis=1) > 0).all()
    assert len({image.tobytes() for image in images}) == len(images)


def test_seeds_share_no_image() -> None:
    one, other = (generate(0, 2 * BLOCK, seed, (32, 32, 1)) for seed in (0, 1))
    assert not {image.tobytes() for image in one} & {image.tobytes() for image in other}


@pytest.mark.parametrize("seed", [0, 9])
def test_every_block_holds_each_family_equally_often(seed: int) -> None:
    for block in range(3):
        names = [family_of(block * BLOCK + row, seed) for row in range(BLOCK)]
        assert {name: names.count(name) for name in FAMILIES} == dict.fromkeys(FAMILIES, BLOCK // len(FAMILIES))


def test_the_order_of_families_differs_between_blocks_and_seeds() -> None:
    def order(block: int, seed: int) -> tuple[str, ...]:
        return tuple(family_of(block * BLOCK + row, seed) for row in range(BLOCK))

    assert len({order(0, 0), order(1, 0), order(0, 1)}) == 3


def test_families_can_be_told_apart_by_their_texture() -> None:
    """A forest on simple texture measures names the family far more often than by chance (1 in 9)."""
    count = 15 * BLOCK
    images = generate(0, count, 4, (64, 64, 1))[..., 0].astype(np.float32)
    images = (images - images.mean(axis=(1, 2), keepdims=True)) / (images.std(axis=(1, 2), keepdims=True) + 1)
    power = np.log1p(np.abs(np.fft.rfft2(images)[:, :32, :32])).reshape(count, 8, 4, 8, 4).mean(axis=(2, 4))
    steps = np.abs(np.diff(images, axis=2)).reshape(count, -1)
    measures = np.column_stack(
        [power.reshape(count, -1), np.quantile(steps, [0.2, 0.5, 0.7, 0.8, 0.9, 0.99], axis=1).T]
    )
    families = np.array([FAMILIES.index(family_of(index, 4)) for index in range(count)])
    half = count // 2
    forest = RandomForestClassifier(80, random_state=0).fit(measures[:half], families[:half])
    right = forest.predict(measures[half:]) == families[half:]
    assert right.mean() > 0.35


def test_brightness_contrast_and_framing_vary() -> None:
    images = generate(0, 10 * BLOCK, 6, (64, 64, 1))[..., 0].astype(np.float32)
    brightness, contrast = images.mean(axis=(1, 2)), images.std(axis=(1, 2))
    assert np.quantile(brightness, 0.1) < 70
    assert np.quantile(brightness, 0.9) > 180
    assert np.quantile(contrast, 0.1) < 30
    assert np.quantile(contrast, 0.9) > 70
    corners = images[:, [0, 0, -1, -1], [0, -1, 0, -1]]
    framed = np.ptp(corners, axis=1) <= 1
    middle = images[:, 28:36, 28:36].mean(axis=(1, 2))
    assert (framed & (middle > corners.max(axis=1) + 40)).mean() > 0.1  # a lit object on dark
    assert (framed & (middle < corners.min(axis=1) - 40)).mean() > 0.05  # a dark one on bright


def test_colour_images_are_coloured_and_some_nearly_grey() -> None:
    images = generate(0, 4 * BLOCK, 6, (32, 32, 3)).astype(np.float32)
    colour = np.ptp(images, axis=3).mean(axis=(1, 2))
    assert np.quantile(colour, 0.9) > 50
    assert np.quantile(colour, 0.1) < 12


@pytest.mark.parametrize(
    ("first", "count", "seed", "shape"),
    [
        (-1, 1, 0, (64, 64, 1)),
        (0, -1, 0, (64, 64, 1)),
        (0, 1, -1, (64, 64, 1)),
        (0, 1, 0, (64, 64, 2)),
        (0, 1, 0, (4, 64, 1)),
    ],
)
def test_impossible_requests_are_usage_errors(first: int, count: int, seed: int, shape: tuple[int, int, int]) -> None:
    with pytest.raises(UsageError):
        generate(first, count, seed, shape)
