"""How much of an image a reconstruction gives back; images whose range is 1, every image by itself.

Lower fidelity is better for who defends: a high MSE, a low PSNR, a low SSIM.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from foundation.errors import DataError

# Wang et al. 2004, section III-C: "an 11 x 11 circular-symmetric Gaussian weighting function w, with standard deviation
# of 1.5 samples", K1 = 0.01, K2 = 0.03.
WINDOW = 11
_SIGMA = 1.5
_C1, _C2 = 0.01**2, 0.03**2


def mse(images: Tensor, reconstructions: Tensor) -> NDArray[np.float64]:
    """Mean squared error float64 [N] of float32 [N, C, H, W] in [0, 1].

    Raises:
        DataError: the two differ in shape, are no images, or hold what is not a number.
    """
    _check(images, reconstructions)
    squares = (images.detach().double() - reconstructions.detach().double()).square()
    return np.asarray(squares.mean(dim=(1, 2, 3)).numpy(), np.float64)


def psnr(images: Tensor, reconstructions: Tensor) -> NDArray[np.float64]:
    """Peak signal-to-noise ratio float64 [N] in dB, -10 log10 MSE; infinite where an image is met exactly.

    Raises:
        DataError: as for `mse`.
    """
    errors = mse(images, reconstructions)
    with np.errstate(divide="ignore"):
        return np.asarray(-10 * np.log10(errors), np.float64)


def ssim(images: Tensor, reconstructions: Tensor) -> NDArray[np.float64]:
    """Structural similarity float64 [N], 1 where equal (Wang et al. 2004, "Image Quality Assessment", eq. 13).

    Mean over the windows that lie whole in the image, and over the channels.

    Raises:
        DataError: as for `mse`, or images smaller than a window of 11 x 11.
    """
    _check(images, reconstructions)
    if min(images.shape[2:]) < WINDOW:
        raise DataError(f"SSIM of {images.shape[2]} x {images.shape[3]} images: its window is {WINDOW} x {WINDOW}")
    x, y = images.detach().double(), reconstructions.detach().double()
    mean_x, mean_y = _smoothed(x), _smoothed(y)
    var_x = _smoothed(x * x) - mean_x.square()
    var_y = _smoothed(y * y) - mean_y.square()
    both = _smoothed(x * y) - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + _C1) / (mean_x.square() + mean_y.square() + _C1)
    structure = (2 * both + _C2) / (var_x + var_y + _C2)
    return np.asarray((luminance * structure).mean(dim=(1, 2, 3)).numpy(), np.float64)


def _smoothed(x: Tensor) -> Tensor:
    offsets = torch.arange(WINDOW, dtype=x.dtype) - WINDOW // 2
    row = torch.exp(-offsets.square() / (2 * _SIGMA**2))
    row = (row / row.sum()).repeat(x.shape[1], 1, 1, 1)
    across = functional.conv2d(x, row, groups=x.shape[1])
    return functional.conv2d(across, row.transpose(2, 3), groups=x.shape[1])


def _check(images: Tensor, reconstructions: Tensor) -> None:
    if images.shape != reconstructions.shape or images.ndim != 4:
        raise DataError(
            f"cannot compare images {tuple(images.shape)} with reconstructions {tuple(reconstructions.shape)}"
        )
    if not bool(torch.isfinite(reconstructions).all()):
        raise DataError("a reconstruction holds what is not a number")
