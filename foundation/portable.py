"""exp, log, sums and pseudo-random numbers with the same bits everywhere: Python, C, any C library, any processor.

Answers are made on devices whose runners are written in two languages. Nothing here asks a C library for mathematics:
only float64 additions, multiplications, divisions and roundings, which IEEE 754 defines to the bit, in a fixed order.
`edge/runner/native/portable.c` is the same in C. Part of what travels to the device: standard library and numpy only.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_LOG2_E = float.fromhex("0x1.71547652b82fep0")
_LN2 = float.fromhex("0x1.62e42fefa39efp-1")
_HALF_SQRT2 = float.fromhex("0x1.6a09e667f3bcdp-1")
_LOWEST = -110.0
# 2^64 / golden ratio, and the multipliers of splitmix64's finaliser.
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_UNIFORMS = 12


def exponential(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """e^x for x ≤ 0, to 2e-14 of it; 0 below -110."""
    bounded = np.maximum(x, _LOWEST)
    k = np.rint(bounded * _LOG2_E)
    r = bounded - k * _LN2
    total = np.ones_like(r)
    for term in range(12, 0, -1):
        total = 1.0 + total * r / term
    return np.where(x < _LOWEST, 0.0, np.ldexp(total, k.astype(np.int32)))


def logarithm(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """ln x for normal x > 0, to 5e-16 of the larger of |ln x| and 1."""
    m, k = np.frexp(x)
    small = m < _HALF_SQRT2
    m, k = np.where(small, 2 * m, m), np.where(small, k - 1, k)
    s = (m - 1.0) / (m + 1.0)
    square = s * s
    total = np.full_like(s, 1 / 21)
    for term in range(19, 0, -2):
        total = total * square + 1 / term
    return np.asarray(k * _LN2 + 2.0 * s * total, np.float64)


def row_sums(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sums over the last axis, kept: float64 [N, 1]; from the first to the last, where `sum` goes by pairs."""
    return np.add.accumulate(rows, axis=1)[:, -1:]


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """Probabilities float64 [N, classes] of finite logits."""
    wide = logits.astype(np.float64)
    powers = exponential(wide - wide.max(axis=1, keepdims=True))
    return powers / row_sums(powers)


def image_seeds(images: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """A seed uint64 [N] for each image [N, …], of all its bytes.

    Filled up with zeros to whole words of 8 bytes, little-endian, words are mixed with their places, summed modulo
    2^64, and the sum is mixed again. Images that differ within one word never have one seed. It is no secret hash:
    whoever has the image has the seed.
    """
    flat = images.reshape(len(images), -1)
    padded = np.zeros((len(flat), -(-flat.shape[1] // 8) * 8), np.uint8)
    padded[:, : flat.shape[1]] = flat
    words = padded.view("<u8").astype(np.uint64)
    places = np.arange(1, words.shape[1] + 1, dtype=np.uint64) * _GOLDEN
    return _mixed(_mixed(words + places).sum(axis=1, dtype=np.uint64))


def gaussians(seeds: NDArray[np.uint64], count: int) -> NDArray[np.float64]:
    """`count` numbers of mean 0 and standard deviation 1 for each seed, float64 [N, count].

    The sum of twelve uniforms (Irwin-Hall), each 16 bits of splitmix64's stream (Steele et al. 2014): bell-shaped up
    to ±6, where it ends.
    """
    draws = np.arange(1, 3 * count + 1, dtype=np.uint64) * _GOLDEN
    stream = _mixed(seeds[:, None] + draws).reshape(len(seeds), count, 3)
    pieces = [(stream >> np.uint64(shift)) & np.uint64(0xFFFF) for shift in (0, 16, 32, 48)]
    total = np.sum(pieces, axis=0, dtype=np.uint64).sum(axis=2, dtype=np.uint64).astype(np.float64)
    return np.asarray((total - _UNIFORMS * 0xFFFF / 2) / 0x10000, np.float64)


def _mixed(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Every bit changes every other: splitmix64's finaliser."""
    words = (words ^ (words >> np.uint64(30))) * _FIRST
    words = (words ^ (words >> np.uint64(27))) * _SECOND
    return words ^ (words >> np.uint64(31))
