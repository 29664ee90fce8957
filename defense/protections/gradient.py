"""Clipping and noise on the client's gradients, in the manner of DP-SGD."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from defense.split.protection import Protection
from foundation.errors import UsageError


class ClippedGradients(Protection):
    """Shortens the client's gradient to a norm and adds Gaussian noise, before it is used or shared.

    After Abadi et al. 2016, "Deep Learning with Differential Privacy", algorithm 1, but on the gradient of the whole
    batch, as federated clients do, not on each image's: it gives no (epsilon, delta) by image. It changes nothing of
    the smashed data.

    Args:
        norm: largest L2 norm over all the client's parameters together.
        multiplier: standard deviation of the noise on each number, in units of `norm`; 0 only clips.
    """

    def __init__(self, norm: float, multiplier: float = 0.0) -> None:
        if not 0 < norm < float("inf") or not 0 <= multiplier < float("inf"):
            raise UsageError(
                f"gradients clipped to {norm:g} with noise {multiplier:g}", hint="use clip:NORM or clip:NORM,NOISE"
            )
        self.norm, self.multiplier = norm, multiplier
        self.name = f"clip:{norm:g}" + (f",{multiplier:g}" if multiplier else "")

    def gradients(self, parameters: Iterable[nn.Parameter], generator: torch.Generator) -> None:
        """Clip, then add noise, in place; a norm that is no number is left for the caller to see."""
        held = [p.grad for p in parameters if p.grad is not None]
        if not held:
            return
        norm = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(g) for g in held]))
        share = (self.norm / norm.clamp_min(1e-12)).clamp_max(1.0)
        for gradient in held:
            gradient.mul_(share)
            if self.multiplier:
                noise = torch.randn(gradient.shape, generator=generator)
                gradient.add_(noise, alpha=self.multiplier * self.norm)
