"""How alike two images look, where no network has learnt anything yet."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch.nn import functional

from attack.strategies.substitute import in_batches

SIDE = 8


def thumbnails(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Mean brightness in 8 x 8 fields, float32 [N, C * 64] in [0, 1], of images uint8 [N, H, W, C]."""
    return in_batches(images, lambda x: functional.adaptive_avg_pool2d(x, SIDE).flatten(1))
