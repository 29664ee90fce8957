"""Chance that belongs to a patient or to a slice, drawn for a whole batch at once.

Every patient and every slice owns a fixed row of uniform draws, made from its own seed sequence. Anatomy reads these
rows column by column, so that a batch is drawn with vector operations and yet no image depends on its neighbours.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Bound = float | Array


class Chance:
    """Reads rows of uniform draws from left to right; one row for each image of a batch.

    Whoever reads must read the same columns whatever the class of the image: then two renderings of one patient that
    differ in the class differ in the finding only.

    Args:
        rows: float32 [N, K] in [0, 1).
    """

    def __init__(self, rows: Array) -> None:
        self._rows = rows
        self._next = 0

    def uniform(self, low: Bound = 0.0, high: Bound = 1.0) -> Array:
        """One draw for each image, float32 [N], uniform in [low, high)."""
        return np.asarray(low + (high - low) * self._take(1)[:, 0], np.float32)

    def uniforms(self, count: int, low: float = 0.0, high: float = 1.0) -> Array:
        """`count` draws for each image, float32 [N, count], uniform in [low, high)."""
        return np.asarray(low + (high - low) * self._take(count), np.float32)

    def normal(self, mean: Bound = 0.0, deviation: Bound = 1.0) -> Array:
        """One draw for each image, float32 [N], normal but cut at three deviations (nobody is that odd)."""
        radius, angle = self._take(2).T  # Box and Muller (1958)
        bell = np.sqrt(-2 * np.log1p(-radius)) * np.cos(2 * np.pi * angle)
        return np.asarray(mean + deviation * np.clip(bell, -3, 3), np.float32)

    def happens(self, probability: float) -> NDArray[np.bool_]:
        """One yes or no for each image, bool [N]."""
        return np.asarray(self._take(1)[:, 0] < probability, np.bool_)

    def _take(self, count: int) -> Array:
        start, self._next = self._next, self._next + count
        if self._next > self._rows.shape[1]:
            raise IndexError(f"{self._next} draws wanted of a row of {self._rows.shape[1]}")
        return self._rows[:, start : self._next]
