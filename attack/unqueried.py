"""Images of a pool that nobody asked about."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from attack.hashes import image_hashes
from attack.pools import Pool

# Rows of a pool without end that no attack comes to.
FAR = 1 << 40
# Images hashed at once.
_BLOCK = 4096


def unqueried(pools: Sequence[Pool], asked: Iterable[NDArray[np.uint8]], count: int, seed: int) -> NDArray[np.uint8]:
    """Up to `count` images that were not asked about, of the last pool first: it is the nearest to the problem domain.

    Args:
        pools: the parts of a pool; amplified ones as a strategy has them (`attack.strategies.amplify.grown`). Of a pool
            without end come rows far beyond any that are asked about, so any number.
        asked: images that were asked about, uint8 [N, H, W, C] each.
        count: at most so many.
        seed: of the thief; which ones of a finite pool.

    Returns:
        uint8 [M, H, W, C], M <= count, in random order for a finite pool; none is left where a finite pool is asked
        about whole.
    """
    known: set[bytes] | None = None
    # None of any image: the shape, where nothing is found.
    found = [pools[-1].take(np.zeros(1, np.int64))[:0]]
    for number, pool in reversed(list(enumerate(pools))):
        if not (left := count - sum(map(len, found))):
            break
        if pool.size is None:
            rows = FAR + np.arange(left, dtype=np.int64)
        else:
            known = {digest for images in asked for digest in _hashes(images)} if known is None else known
            rows = _free(pool, pool.size, known)
            rows = np.random.default_rng([seed, 0x5E, number]).permutation(rows)[:left]
        found.append(pool.take(rows))
    return np.concatenate(found)


def _free(pool: Pool, size: int, known: set[bytes]) -> NDArray[np.int64]:
    rows = [np.arange(first, min(first + _BLOCK, size)) for first in range(0, size, _BLOCK)]
    free = [digest not in known for block in rows for digest in image_hashes(pool.take(block))]
    return np.flatnonzero(free).astype(np.int64)


def _hashes(images: NDArray[np.uint8]) -> Iterator[bytes]:
    for first in range(0, len(images), _BLOCK):
        yield from image_hashes(images[first : first + _BLOCK])
