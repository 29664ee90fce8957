"""From the app's image to the model's input, on the device. Standard library and numpy only.

A pixel has 256 values, so the whole mapping (division by 255, normalisation, quantisation) is one table a channel,
computed in float64 and rounded once: every runner gets the same bits whatever its arithmetic.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class InputTable:
    """The mapping of pixels to stored input values.

    Attributes:
        table: [channels, 256], in the model's input dtype.
        layout: `nhwc` or `nchw`, of the model's input.
    """

    table: NDArray[np.generic]
    layout: str

    def __call__(self, images: NDArray[np.uint8]) -> NDArray[np.generic]:
        """uint8 [N, H, W, C] to the model's input for N images, in its dtype and layout."""
        if self.table.shape[0] == 1:
            mapped = self.table[0][images]
        else:
            mapped = np.stack([row[images[..., c]] for c, row in enumerate(self.table)], axis=-1)
        if self.layout == "nchw":
            mapped = mapped.transpose(0, 3, 1, 2)
        return np.ascontiguousarray(mapped)


def input_table(
    mean: tuple[float, ...],
    std: tuple[float, ...],
    dtype: np.dtype[np.generic],
    layout: str,
    *,
    scale: float = 1.0,
    zero_point: int = 0,
) -> InputTable:
    """Build the table: x = (pixel / 255 - mean) / std; stored = x, or round(x / scale) + zero_point for integers.

    Rounds half to even, as C's `rint` does, and clips to the dtype's range. For scale 1/255 and zero point -128 that is
    pixel - 128 exactly.

    Args:
        mean: one per channel, in units of the full range.
        std: one per channel.
        dtype: float32, int8 or uint8.
        layout: `nhwc` or `nchw`.
        scale: of the quantised input.
        zero_point: of the quantised input.
    """
    pixels = np.arange(256, dtype=np.float64) / 255.0
    real = np.stack([(pixels - m) / s for m, s in zip(mean, std, strict=True)])
    if np.issubdtype(dtype, np.floating):
        return InputTable(real.astype(dtype), layout)
    limits = np.iinfo(dtype.name)
    stored = np.clip(np.rint(real / scale) + zero_point, limits.min, limits.max)
    return InputTable(stored.astype(dtype), layout)
