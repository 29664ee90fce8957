"""Gaussian noise on smashed data: the baseline that costs nothing to build."""

from __future__ import annotations

import torch
from torch import Tensor

from defense.split.protection import Protection
from foundation.errors import UsageError


class GaussianNoise(Protection):
    """Adds noise to all that leaves the client, in training and at inference.

    The client trains through it, and may make its smashed data larger to be heard: what a standard deviation is worth
    is known only when it is measured against what came out.

    Args:
        deviation: standard deviation, in units of the smashed data.
    """

    randomised = True

    def __init__(self, deviation: float) -> None:
        if not 0 < deviation < float("inf"):
            raise UsageError(f"noise of standard deviation {deviation:g}", hint="use more than 0, as in noise:0.5")
        self.deviation = deviation
        self.name = f"noise:{deviation:g}"

    def release(self, z: Tensor, generator: torch.Generator) -> Tensor:
        """Smashed data and noise, [B, C', H', W']."""
        return z + self.deviation * torch.randn(z.shape, generator=generator)
