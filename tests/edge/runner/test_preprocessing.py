"""From pixels to the model's input, to the bit."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from numpy.typing import NDArray

from edge.runner.preprocessing import input_table

EVERY_PIXEL = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
SCALE = float(np.float32(1 / 255))


def test_pixels_as_int8_with_scale_1_255_are_pixel_minus_128() -> None:
    table = input_table((0.0,), (1.0,), np.dtype(np.int8), "nhwc", scale=SCALE, zero_point=-128)
    mapped = table(EVERY_PIXEL)
    assert mapped.dtype == np.int8
    np.testing.assert_array_equal(mapped, EVERY_PIXEL.astype(np.int16) - 128)


def test_pixels_as_uint8_with_scale_1_255_stay_as_they_are() -> None:
    table = input_table((0.0,), (1.0,), np.dtype(np.uint8), "nhwc", scale=SCALE)
    np.testing.assert_array_equal(table(EVERY_PIXEL), EVERY_PIXEL)


def test_pixels_as_float32_are_torch_s_to_the_bit() -> None:
    torch = pytest.importorskip("torch")
    eager = (torch.from_numpy(EVERY_PIXEL).float() / 255).numpy()
    mapped = input_table((0.0,), (1.0,), np.dtype(np.float32), "nhwc")(EVERY_PIXEL)
    assert mapped.dtype == np.float32
    assert mapped.tobytes() == eager.tobytes()


def test_rounding_is_half_to_even() -> None:
    # Scale 2/255: stored = pixel / 2, so that every odd pixel is a tie.
    table = input_table((0.0,), (1.0,), np.dtype(np.uint8), "nhwc", scale=2 / 255)
    expected = [round(Fraction(pixel, 2)) for pixel in range(256)]
    assert table(EVERY_PIXEL).ravel().tolist() == expected


def test_values_beyond_the_dtype_are_clipped() -> None:
    table = input_table((0.5,), (0.001,), np.dtype(np.int8), "nhwc", scale=0.5, zero_point=3)
    stored = table(EVERY_PIXEL).ravel()
    assert (stored[0], stored[-1]) == (-128, 127)


def test_every_channel_has_its_own_mean_and_std() -> None:
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    images = np.random.default_rng(0).integers(0, 256, (3, 5, 4, 3), np.uint8)
    mapped = input_table(mean, std, np.dtype(np.float32), "nhwc")(images)
    expected = ((images / 255.0 - np.array(mean)) / np.array(std)).astype(np.float32)
    assert mapped.tobytes() == expected.tobytes()


@pytest.mark.parametrize("channels", [1, 3])
def test_nchw_is_the_same_values_with_channels_first_and_contiguous(channels: int) -> None:
    images: NDArray[np.uint8] = np.random.default_rng(0).integers(0, 256, (2, 5, 4, channels), np.uint8)
    mean, std = (0.1, 0.2, 0.3)[:channels], (1.0, 2.0, 3.0)[:channels]
    nhwc = input_table(mean, std, np.dtype(np.float32), "nhwc")(images)
    nchw = input_table(mean, std, np.dtype(np.float32), "nchw")(images)
    assert nchw.shape == (2, channels, 5, 4)
    assert nchw.flags.c_contiguous
    np.testing.assert_array_equal(nchw, nhwc.transpose(0, 3, 1, 2))
