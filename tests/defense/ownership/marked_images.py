"""Keys, and images whose coarse pictures differ."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

KEY, OTHER = bytes(range(32)), bytes(32)


def varied(count: int, seed: int = 0) -> NDArray[np.uint8]:
    """Flat cells, uint8 [count, 16, 16, 1]."""
    cells = np.random.default_rng(seed).integers(20, 235, (count, 4, 4, 1))
    return np.repeat(np.repeat(cells, 4, axis=1), 4, axis=2).astype(np.uint8)
