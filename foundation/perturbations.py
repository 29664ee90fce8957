"""How answer policies disturb probabilities: one definition, to the bit the same in the native runner (`policy.c`).

The formulas are those of ART 1.20 (`art.defences.postprocessor`), in float64, so that what is measured on a device can
be held against it. Part of what travels to the device: standard library and numpy only.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from foundation.portable import exponential, gaussians, image_seeds, logarithm, row_sums

# Probabilities are kept so far from 0 and 1 where their odds are taken.
_MARGIN = 1e-9


def rounded(scores: NDArray[np.float64], decimals: int) -> NDArray[np.float64]:
    """Rounded to `decimals` places, halves to even (ART's `Rounded`). Rows are not scaled back to sum to 1.

    Args:
        scores: float64 [N, classes], probabilities.
        decimals: 1 to 6.
    """
    steps = 10.0**decimals
    return np.asarray(np.rint(scores * steps) / steps, np.float64)


def confident(scores: NDArray[np.float64], least: float) -> NDArray[np.float64]:
    """Those below `least` are 0 (ART's `HighConfidence`). Rows are not scaled; one of zeros is a refusal."""
    return np.where(scores < least, 0.0, scores)


def noisy(scores: NDArray[np.float64], images: NDArray[np.uint8], deviation: float) -> NDArray[np.float64]:
    """With Gaussian noise, negative ones 0, scaled to sum to 1 (ART's `GaussianNoise`). A row without any stays 0.

    The noise is a function of the image: who asks again learns nothing new. Whoever knows the function can take it off
    again (docs/policies.md).

    Args:
        scores: float64 [N, classes], probabilities.
        images: uint8 [N, H, W, C] that they belong to.
        deviation: standard deviation of the noise, above 0.
    """
    noise = gaussians(image_seeds(images), scores.shape[1])
    return _scaled(np.maximum(scores + deviation * noise, 0.0))


def reverse_sigmoid(scores: NDArray[np.float64], beta: float, gamma: float) -> NDArray[np.float64]:
    """Lee et al. 2018, arXiv 1806.00054: p - β (σ(γ σ⁻¹(p)) - 1/2), clipped to [0, 1], scaled to sum to 1.

    Args:
        scores: float64 [N, classes], probabilities.
        beta: how far they are moved, above 0.
        gamma: how soon, above 0: the larger, the more a moderate probability is moved.
    """
    bounded = np.clip(scores, _MARGIN, 1.0 - _MARGIN)
    odds = gamma * logarithm((1.0 - bounded) / bounded)
    # 1 / (1 + e^odds), by the exponential that does not overflow.
    small = exponential(-np.abs(odds))
    sigmoid = np.where(odds > 0, small, 1.0) / (1.0 + small)
    return _scaled(np.clip(scores - beta * (sigmoid - 0.5), 0.0, 1.0))


def _scaled(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    total = row_sums(rows)
    return np.asarray(rows / np.where(total > 0, total, 1.0), np.float64)
