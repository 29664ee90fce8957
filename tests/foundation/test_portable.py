"""Mathematics without a C library: near enough to scipy's, and random enough."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from scipy.stats import kstest, norm

from foundation.portable import exponential, gaussians, image_seeds, logarithm, row_sums

_STEP = float(np.finfo(np.float64).eps)


@settings(deadline=None)
@given(arrays(np.float64, 50, elements=st.floats(-109.9, 0)))
def test_exp_is_right_to_13_places(x: NDArray[np.float64]) -> None:
    np.testing.assert_allclose(exponential(x), np.exp(x), rtol=2e-14)


def test_exp_of_nothing_and_of_everything() -> None:
    assert exponential(np.array([0.0, -0.0, -110.5, -1e300])).tolist() == [1, 1, 0, 0]


@settings(deadline=None)
@given(arrays(np.float64, 50, elements=st.floats(1e-12, 1e12)))
def test_log_is_right_to_the_last_bits(x: NDArray[np.float64]) -> None:
    np.testing.assert_allclose(logarithm(x), np.log(x), rtol=5e-16, atol=5e-16)


def test_sums_go_from_the_first_to_the_last() -> None:
    # By pairs the small ones would have counted.
    assert row_sums(np.array([[1.0, *[_STEP / 4] * 1000]])).tolist() == [[1.0]]


@settings(deadline=None)
@given(arrays(np.uint8, st.tuples(st.just(2), st.integers(1, 40))), st.data())
def test_images_that_differ_in_one_byte_have_two_seeds(images: NDArray[np.uint8], data: st.DataObject) -> None:
    images[1] = images[0]
    assert len(np.unique(image_seeds(images))) == 1
    images[1, data.draw(st.integers(0, images.shape[1] - 1))] ^= data.draw(st.integers(1, 255))
    assert len(np.unique(image_seeds(images))) == 2


def test_a_seed_hangs_on_the_places_of_words_too() -> None:
    words = np.arange(16, dtype=np.uint8).reshape(2, 8)
    both = np.stack([words.ravel(), words[::-1].ravel()])
    assert len(np.unique(image_seeds(both))) == 2


def test_a_view_has_the_seed_of_its_pixels() -> None:
    images = np.random.default_rng(0).integers(0, 256, (6, 4, 4, 3), np.uint8)
    np.testing.assert_array_equal(image_seeds(images[::2, ::-1]), image_seeds(images[::2, ::-1].copy()))


@pytest.mark.parametrize("at", [0, 1, 4])
def test_gaussians_of_images_that_hardly_differ_are_normal_and_independent(at: int) -> None:
    images = np.zeros((20_000, 16), np.uint8)
    images[:, :2] = np.arange(20_000, dtype="<u2")[:, None].view(np.uint8)
    drawn = gaussians(image_seeds(images), 5)
    assert kstest(drawn[:, at], norm.cdf).pvalue > 0.001
    assert np.abs(np.corrcoef(drawn.T) - np.eye(5)).max() < 0.03
    assert abs(np.corrcoef(drawn[:-1, at], drawn[1:, at])[0, 1]) < 0.03
