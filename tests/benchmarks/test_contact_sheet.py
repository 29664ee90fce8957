"""Contact sheets."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from benchmarks.report import contact_sheet
from foundation.errors import DataError


def opened(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(BytesIO(png)).convert("RGB"))


@pytest.mark.parametrize("channels", [1, 3])
def test_each_class_has_a_row_that_holds_its_own_images(channels: int) -> None:
    images = np.stack([np.full((32, 32, channels), value, np.uint8) for value in (50, 200, 51, 201, 52)])
    labels = np.array([0, 1, 0, 1, 0])
    pixels = opened(contact_sheet(images, labels, ["dark", "light"], per_class=2))
    upper, lower = pixels[: len(pixels) // 2], pixels[len(pixels) // 2 :]
    for value, row, other in ((50, upper, lower), (51, upper, lower), (200, lower, upper), (201, lower, upper)):
        assert (row == value).all(axis=2).sum() == 128 * 128
        assert (other == value).all(axis=2).sum() < 128 * 128
    assert (pixels == 52).all(axis=2).sum() < 128 * 128


def test_small_images_are_enlarged_by_a_whole_factor_without_smoothing() -> None:
    image = np.random.default_rng(0).choice(np.array([3, 250], np.uint8), (1, 28, 28, 1))
    pixels = opened(contact_sheet(image, np.array([0]), ["one"], 1))
    tile = pixels[30 : 30 + 112, 4 : 4 + 112, 0]
    assert (tile == np.kron(image[0, :, :, 0], np.ones((4, 4), np.uint8))).all()


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 300), st.integers(1, 300), st.sampled_from([1, 3]), st.integers(1, 5), st.text(max_size=80))
def test_any_size_and_any_name_make_a_sheet(height: int, width: int, channels: int, count: int, name: str) -> None:
    images = np.zeros((count, height, width, channels), np.uint8)
    assert opened(contact_sheet(images, np.zeros(count, np.int64), [name, "empty"], 3)).size


@pytest.mark.parametrize(
    "images", [np.zeros((2, 8, 8), np.uint8), np.zeros((2, 8, 8, 1), np.float32), np.zeros((2, 8, 8, 2), np.uint8)]
)
def test_images_of_another_kind_are_refused(images: np.ndarray) -> None:
    with pytest.raises(DataError, match="contact sheet"):
        contact_sheet(images, np.zeros(2, np.int64), ["a"], 1)
