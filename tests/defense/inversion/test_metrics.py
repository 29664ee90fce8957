"""Fidelity of reconstructions, against values that are known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from defense.inversion.metrics import mse, psnr, ssim
from foundation.errors import DataError


def _noise(seed: int, count: int = 2, side: int = 20, channels: int = 1) -> torch.Tensor:
    return torch.rand(count, channels, side, side, generator=torch.Generator().manual_seed(seed))


def test_every_image_has_its_own_error() -> None:
    images = torch.zeros(2, 1, 12, 12)
    other = torch.stack([torch.full((1, 12, 12), 0.1), torch.full((1, 12, 12), 0.5)])
    assert mse(images, other) == pytest.approx([0.01, 0.25], rel=1e-6)
    assert psnr(images, other) == pytest.approx([20.0, 10 * math.log10(4)], rel=1e-6)


def test_equal_images_are_met_exactly() -> None:
    images = _noise(0, channels=3)
    assert np.isinf(psnr(images, images)).all()
    assert ssim(images, images) == pytest.approx([1.0, 1.0])


def test_ssim_of_flat_images_is_their_luminance_term() -> None:
    dark, light = torch.full((1, 1, 16, 16), 0.2), torch.full((1, 1, 16, 16), 0.6)
    c1 = 0.01**2
    assert ssim(dark, light) == pytest.approx([(2 * 0.12 + c1) / (0.04 + 0.36 + c1)], rel=1e-6)


def test_ssim_is_that_of_one_window_computed_by_hand() -> None:
    """11 x 11 images hold a single window, whose moments are weighted sums."""
    x, y = _noise(1, 1, 11), _noise(2, 1, 11)
    offsets = np.arange(11) - 5
    row = np.exp(-(offsets**2) / (2 * 1.5**2))
    weights = np.outer(row, row) / np.outer(row, row).sum()
    a, b = x[0, 0].double().numpy(), y[0, 0].double().numpy()
    ma, mb = (weights * a).sum(), (weights * b).sum()
    va, vb = (weights * (a - ma) ** 2).sum(), (weights * (b - mb) ** 2).sum()
    cov = (weights * (a - ma) * (b - mb)).sum()
    c1, c2 = 0.0001, 0.0009
    known = (2 * ma * mb + c1) * (2 * cov + c2) / ((ma**2 + mb**2 + c1) * (va + vb + c2))
    assert ssim(x, y) == pytest.approx([known], rel=1e-6)


def test_an_image_upside_down_in_brightness_has_a_negative_ssim() -> None:
    images = _noise(3)
    assert (ssim(images, 1 - images) < -0.5).all()


def test_shapes_that_differ_windows_that_do_not_fit_and_nan_are_refused() -> None:
    with pytest.raises(DataError, match="cannot compare"):
        mse(torch.zeros(1, 1, 8, 8), torch.zeros(1, 1, 8, 9))
    with pytest.raises(DataError, match="11 x 11"):
        ssim(torch.zeros(1, 1, 8, 8), torch.zeros(1, 1, 8, 8))
    with pytest.raises(DataError, match="not a number"):
        psnr(torch.zeros(1, 1, 8, 8), torch.full((1, 1, 8, 8), float("nan")))
