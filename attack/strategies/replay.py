"""Experience replay: answers from before, to be learnt from again."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


class Replay:
    """The newest images and their targets, at most so many; older ones go.

    Args:
        capacity: how many are kept. Their memory is taken once.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity, self._added = capacity, 0
        self._images: NDArray[np.uint8] | None = None
        self._targets: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return min(self._added, self._capacity)

    def add(self, images: NDArray[np.uint8], targets: NDArray[np.float32]) -> None:
        """Keep images uint8 [N, H, W, C] and targets float32 [N, classes]."""
        if self._images is None or self._targets is None:
            self._images = np.empty((self._capacity, *images.shape[1:]), np.uint8)
            self._targets = np.empty((self._capacity, targets.shape[1]), np.float32)
        slots = (self._added + np.arange(len(images))) % self._capacity
        self._images[slots], self._targets[slots] = images, targets
        self._added += len(images)

    def draw(self, count: int, generator: torch.Generator) -> tuple[NDArray[np.uint8], Tensor]:
        """Draw `count` of them, with repetition: images uint8 [count, H, W, C] and targets float32 [count, classes].

        Raises:
            LookupError: nothing was added yet.
        """
        if self._images is None or self._targets is None:
            raise LookupError("nothing to replay yet")
        rows = torch.randint(len(self), (count,), generator=generator).numpy()
        return self._images[rows], torch.from_numpy(self._targets[rows])

    def clear(self) -> None:
        """Forget everything, and keep the memory."""
        self._added = 0
