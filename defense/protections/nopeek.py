"""NoPeek: smashed data that correlate little with the images, by distance correlation."""

from __future__ import annotations

import torch
from torch import Tensor

from defense.split.protection import Protection
from foundation.errors import UsageError


class NoPeek(Protection):
    """Adds the distance correlation of images and smashed data to the client's loss.

    Vepakomma et al. 2020, "NoPeek: Information leakage reduction to share activations in distributed deep learning":
    alpha x DCOR(X, Z) + cross-entropy.

    Args:
        weight: alpha.
    """

    def __init__(self, weight: float) -> None:
        if not 0 < weight < float("inf"):
            raise UsageError(f"distance correlation of weight {weight:g}", hint="use more than 0, as in nopeek:0.5")
        self.weight = weight
        self.name = f"nopeek:{weight:g}"

    def penalty(self, x: Tensor, z: Tensor) -> Tensor:
        """Weight times the batch's distance correlation; 0 for a batch of one, which correlates with nothing."""
        return self.weight * distance_correlation(x, z)


def distance_correlation(x: Tensor, z: Tensor) -> Tensor:
    """Distance correlation of two samples, row by row, a scalar in [0, 1]; differentiable.

    Székely et al. 2007, "Measuring and testing dependence by correlation of distances", section 2 (the
    V-statistic). 1 where one is the other moved, turned or scaled; 0 where either sample is constant.

    Args:
        x: float32 [B, ...].
        z: float32 [B, ...].
    """
    a, b = _centred(x), _centred(z)
    covariance = (a * b).mean()
    variances = (a * a).mean() * (b * b).mean()
    if len(x) < 2 or not bool(variances > 0):
        return z.new_zeros(()) * z.sum()
    return (covariance.clamp_min(1e-12) / variances.sqrt()).sqrt()


def _centred(rows: Tensor) -> Tensor:
    """Pairwise Euclidean distances, with the means of rows and columns taken out."""
    flat = rows.flatten(1)
    squares = (flat.unsqueeze(1) - flat.unsqueeze(0)).square().sum(2) if len(flat) < 8 else _squares(flat)
    # The root's slope at 0 is infinite, and every row is at distance 0 from itself.
    apart = squares > 1e-12
    distances = torch.where(apart, squares, torch.ones_like(squares)).sqrt() * apart
    return distances - distances.mean(0, keepdim=True) - distances.mean(1, keepdim=True) + distances.mean()


def _squares(flat: Tensor) -> Tensor:
    lengths = flat.square().sum(1)
    return (lengths.unsqueeze(1) + lengths.unsqueeze(0) - 2 * flat @ flat.T).clamp_min(0)
