"""PRADA's growing set of one class: the queries that were far from those before."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

_SMALLEST = 64


class GrowingSet:
    """Images of one class, each farther from the ones before than a threshold that rises.

    Juuti et al. 2019, section 5.2: an image whose distance to the nearest member exceeds the threshold becomes one;
    the threshold is the largest value so far of mean minus standard deviation of the members' distances, of which the
    first is 0.

    Args:
        capacity: members, at most.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._members: NDArray[np.uint8] = np.empty((0, 0), np.uint8)
        self._norms = np.empty(0, np.float32)
        self._count = 0
        self._sum = self._squares = 0.0
        self.threshold = 0.0
        """In levels of a pixel."""

    def __len__(self) -> int:
        return self._count

    def distances(self, images: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Euclidean distance of each image to its nearest member, float64 [N]; far ones become members on the way.

        Args:
            images: uint8 [N, H, W, C], in the order asked.

        Returns:
            in levels of a pixel; NaN for the very first image, which has none before it.
        """
        flat = np.ascontiguousarray(images).reshape(len(images), -1)
        found = np.full(len(flat), np.nan)
        pixels = _centred(flat)
        nearest, closest = self._nearest(pixels)
        norms = np.einsum("nd,nd->n", pixels, pixels)
        between = norms[:, None] + norms[None] - 2 * (pixels @ pixels.T)
        for row in range(len(flat)):
            if not self._count:
                self._add(flat[row], norms[row], 0.0)
            else:
                # float32 finds the nearest; how near it is must be exact.
                found[row] = _distance(flat[row], self._members[nearest[row]])
                if found[row] <= self.threshold or self._count >= self._capacity:
                    continue
                self._add(flat[row], norms[row], found[row])
            closer = between[row, row + 1 :] < closest[row + 1 :]
            closest[row + 1 :][closer] = between[row, row + 1 :][closer]
            nearest[row + 1 :][closer] = self._count - 1
        return found

    def _nearest(self, pixels: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """The nearest member of each image and its squared distance, as near as float32 can tell; infinite at first."""
        nearest, closest = np.zeros(len(pixels), np.int64), np.full(len(pixels), np.inf, np.float32)
        own = np.einsum("nd,nd->n", pixels, pixels)
        for start in range(0, self._count, 1024):
            end = min(start + 1024, self._count)
            squares = own[:, None] + self._norms[start:end] - 2 * (pixels @ _centred(self._members[start:end]).T)
            best = squares.argmin(axis=1)
            value = squares[np.arange(len(pixels)), best]
            closer = value < closest
            nearest[closer], closest[closer] = best[closer] + start, value[closer]
        return nearest, closest

    def _add(self, image: NDArray[np.uint8], norm: np.float32, distance: float) -> None:
        if self._count == len(self._members):
            size = min(max(_SMALLEST, 2 * self._count), self._capacity)
            members, norms = np.empty((size, len(image)), np.uint8), np.empty(size, np.float32)
            if self._count:
                members[: self._count], norms[: self._count] = self._members, self._norms
            self._members, self._norms = members, norms
        self._members[self._count], self._norms[self._count] = image, norm
        self._count += 1
        self._sum, self._squares = self._sum + distance, self._squares + distance**2
        mean = self._sum / self._count
        deviation = math.sqrt(max(self._squares / self._count - mean**2, 0.0))
        self.threshold = max(self.threshold, mean - deviation)


def _centred(flat: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Small numbers keep float32's products exact enough."""
    return flat.astype(np.float32) - 128


def _distance(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    difference = one.astype(np.int64) - other
    return math.sqrt(int(np.dot(difference, difference)))
