"""Non-problem-domain images, made here: nothing to download, no licence, any number of them.

Image i of a seed is always the same image, however the stream is cut into batches, so that a resumed attack asks the
very queries of the broken one. To make that so and still draw many images at once, images are made in blocks of fixed
size and content; a batch is cut out of the blocks that it touches. Every block holds each family equally often, in
random order. Same seed, same image holds for one version of numpy and Pillow on one kind of processor.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from attack.npd.finish import Floats, finished
from attack.npd.fractals import ifs, julia
from attack.npd.lines import gratings, strokes
from attack.npd.noise import cells, coloured_noise, perlin
from attack.npd.scenes import dead_leaves, shapes
from foundation.errors import UsageError

_Family = Callable[[int, int, int, int, np.random.Generator], Floats]

_MAKERS: tuple[_Family, ...] = (dead_leaves, coloured_noise, julia, ifs, shapes, gratings, strokes, perlin, cells)

FAMILIES: tuple[str, ...] = tuple(maker.__name__ for maker in _MAKERS)

_OF_EACH = 8
BLOCK = _OF_EACH * len(FAMILIES)


def generate(first: int, count: int, seed: int, shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    """Make images `first` … `first + count - 1` of a seed.

    Batches that are multiples of `BLOCK`, starting at one, are the cheapest: a block is made whole.

    Args:
        first: number of the first image, from 0.
        count: how many.
        seed: from 0.
        shape: height, width (each at least 8) and channels (1 or 3).

    Returns:
        uint8 [count, height, width, channels].

    Raises:
        UsageError: a number is out of range.
    """
    height, width, channels = shape
    if channels not in (1, 3) or min(height, width) < 8:
        raise UsageError(
            f"no non-problem-domain images of {height} x {width} x {channels}",
            hint="1 or 3 channels, 8 or more pixels a side",
        )
    if min(first, count, seed) < 0:
        raise UsageError(f"no images from {first}, {count} of them, seed {seed}: none may be below 0")
    images = np.empty((count, *shape), np.uint8)
    for block in range(first // BLOCK, -(-(first + count) // BLOCK)):
        start = block * BLOCK
        low, high = max(first, start), min(first + count, start + BLOCK)
        if low < high:
            images[low - first : high - first] = _block(block, seed, shape)[low - start : high - start]
    return images


def family_of(index: int, seed: int) -> str:
    """The family of image `index` of a seed: one of `FAMILIES`."""
    return FAMILIES[int(_order(index // BLOCK, seed)[index % BLOCK])]


@lru_cache(maxsize=64)
def _order(block: int, seed: int) -> NDArray[np.int64]:
    order = np.repeat(np.arange(len(FAMILIES)), _OF_EACH)
    return np.random.default_rng([seed, block, 0]).permutation(order)


# The last block is kept: a batch often ends inside one, and the next batch begins there.
@lru_cache(maxsize=1)
def _block(block: int, seed: int, shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    height, width, channels = shape
    images = np.empty((BLOCK, channels, height, width), np.float32)
    order = _order(block, seed)
    for number, maker in enumerate(_MAKERS):
        # A stream for each family, so that a change to one leaves the others' images as they are.
        images[order == number] = maker(_OF_EACH, *shape, np.random.default_rng([seed, block, 2 + number]))
    return finished(images, np.random.default_rng([seed, block, 1]))
