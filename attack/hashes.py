"""Hashes of images, and where one stands among very many, in about 25 bytes of memory each.

An index of hashes in the ledger's file would be written all over with every batch: measured at a million queries, that
made recording seven times slower and the file almost twice as large. The file keeps the hashes in the order asked;
this finds them.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

HASH_BYTES = 16
_SMALLEST = 1 << 12
# Hashes that find their places at once when the table has grown.
_BLOCK = 1 << 16


def image_hash(image: NDArray[np.uint8]) -> bytes:
    """16 bytes that identify an image: BLAKE2b over its shape and pixels."""
    return image_hashes(image[None])[0]


def image_hashes(images: NDArray[np.uint8]) -> list[bytes]:
    """`image_hash` of each of the images, uint8 [N, H, W, C]."""
    of_shape = hashlib.blake2b(repr(images.shape[1:]).encode(), digest_size=HASH_BYTES)
    pixels = np.ascontiguousarray(images).reshape(-1).data
    size = math.prod(images.shape[1:])
    found = []
    for start in range(0, len(images) * size, size):
        digest = of_shape.copy()
        digest.update(pixels[start : start + size])
        found.append(digest.digest())
    return found


class HashIndex:
    """Distinct hashes of 16 bytes, numbered 0, 1, 2 ... as they were added: open addressing, at most half full.

    The hashes are cryptographic, so their first bits are as good a place as any.
    """

    def __init__(self) -> None:
        self._count = 0
        self._hashes = np.empty((_SMALLEST // 2, 2), np.uint64)
        self._table = np.full(_SMALLEST, -1, np.int32)

    def __len__(self) -> int:
        """How many hashes there are."""
        return self._count

    def add(self, hashes: Sequence[bytes]) -> None:
        """Number these on; none of them may be there yet, none twice."""
        first, end = self._count, self._count + len(hashes)
        grown = end > len(self._hashes)
        if grown:
            self._grow(end)
        self._hashes[first:end] = _as_words(hashes)
        for start in range(0 if grown else first, end, _BLOCK):
            self._place(start, min(start + _BLOCK, end))
        self._count = end

    def find(self, hashes: Sequence[bytes]) -> list[int]:
        """The number of each hash; -1 where it is not there."""
        wanted = _as_words(hashes)
        found = np.full(len(wanted), -1, np.int64)
        slots = self._first_slots(wanted)
        searching = np.arange(len(wanted))
        while len(searching):
            numbers = self._table[slots[searching]]
            searching, numbers = searching[numbers >= 0], numbers[numbers >= 0]
            same = (self._hashes[numbers] == wanted[searching]).all(axis=1)
            found[searching[same]] = numbers[same]
            searching = searching[~same]
            slots[searching] = self._next(slots[searching])
        return list(found.tolist())

    def _grow(self, wanted: int) -> None:
        size = len(self._table)
        while wanted > size // 2:
            size *= 2
        hashes = np.empty((size // 2, 2), np.uint64)
        hashes[: self._count] = self._hashes[: self._count]
        self._hashes, self._table = hashes, np.full(size, -1, np.int32)

    def _place(self, first: int, end: int) -> None:
        numbers = np.arange(first, end)
        slots = self._first_slots(self._hashes[first:end])
        while len(numbers):
            free = self._table[slots] < 0
            # Of several that want one slot, the last has it; the others go on to the next.
            self._table[slots[free]] = numbers[free]
            homeless = self._table[slots] != numbers
            numbers, slots = numbers[homeless], self._next(slots[homeless])

    def _first_slots(self, hashes: NDArray[np.uint64]) -> NDArray[np.int64]:
        return (hashes[:, 0] & np.uint64(len(self._table) - 1)).astype(np.int64)

    def _next(self, slots: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.asarray((slots + 1) & (len(self._table) - 1))


def _as_words(hashes: Sequence[bytes]) -> NDArray[np.uint64]:
    return np.frombuffer(b"".join(hashes), np.uint64).reshape(-1, 2)
