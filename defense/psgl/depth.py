"""Space to depth: every 2 x 2 cell of pixels becomes four channels, and back without loss (PSGL, section IV-B)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from foundation.errors import DataError

CELL = 2


def space_to_depth(x: Tensor) -> Tensor:
    """Cells of 2 x 2 pixels to channels; odd sizes get a row or column of zeros, at the bottom and on the right.

    Args:
        x: [B, C, H, W].

    Returns:
        [B, 4C, ceil(H / 2), ceil(W / 2)]; channel 4c + 2i + j holds row i, column j of each cell of channel c.
    """
    return functional.pixel_unshuffle(_padded(x), CELL)


def depth_to_space(cells: Tensor, height: int, width: int) -> Tensor:
    """The way back from `space_to_depth`, bit for bit.

    Args:
        cells: [B, 4C, ceil(height / 2), ceil(width / 2)].
        height: of the image.
        width: of the image.

    Returns:
        [B, C, height, width].

    Raises:
        DataError: cells of an image of another size.
    """
    if tuple(cells.shape[2:]) != (-(-height // CELL), -(-width // CELL)) or cells.shape[1] % CELL**2:
        raise DataError(f"{tuple(cells.shape[1:])} are not the cells of an image of {height} x {width}")
    return functional.pixel_shuffle(cells, CELL)[..., :height, :width]


def _padded(x: Tensor) -> Tensor:
    down, right = x.shape[2] % CELL, x.shape[3] % CELL
    return functional.pad(x, (0, right, 0, down)) if down or right else x


class SpaceToDepthConvolution(nn.Module):
    """`space_to_depth` and empty channels after it, as one fixed convolution, which mobile runtimes delegate.

    Args:
        channels: C, of the image.
        empty: channels of zeros that follow the 4C.
    """

    weight: Tensor

    def __init__(self, channels: int, empty: int = 0) -> None:
        super().__init__()
        weight = torch.zeros(channels * CELL**2 + empty, channels, CELL, CELL)
        for k in range(channels * CELL**2):
            channel, place = divmod(k, CELL**2)
            weight[k, channel, place // CELL, place % CELL] = 1
        self.register_buffer("weight", weight)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] to [B, 4C + empty, ceil(H / 2), ceil(W / 2)]."""
        return functional.conv2d(_padded(x), self.weight, stride=CELL)
