"""What an attack got back, measured against the images it was after."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from defense.inversion.metrics import WINDOW, mse, psnr, ssim


@dataclass(frozen=True)
class Reconstruction:
    """One attack's result. The raw values stand by image; the means are views of them.

    Attributes:
        images: float32 [N, C, H, W] in [0, 1], what came back.
        mse: float64 [N].
        psnr: float64 [N], dB.
        ssim: float64 [N]; NaN for images smaller than SSIM's window.
        seconds: of attack, training included.
        notes: what else the attack tells of itself (validation errors, last loss).
    """

    images: NDArray[np.float32]
    mse: NDArray[np.float64]
    psnr: NDArray[np.float64]
    ssim: NDArray[np.float64]
    seconds: float
    notes: Mapping[str, float] = field(default_factory=dict)

    @property
    def mean_psnr(self) -> float:
        """Mean over the images, dB."""
        return float(self.psnr.mean())

    @property
    def mean_ssim(self) -> float:
        """Mean over the images."""
        return float(self.ssim.mean())

    @property
    def mean_mse(self) -> float:
        """Mean over the images."""
        return float(self.mse.mean())


def measured(
    reconstructions: Tensor, victims: Tensor, seconds: float, notes: Mapping[str, float] | None = None
) -> Reconstruction:
    """Compare float32 [N, C, H, W] with the victims' images of the same shape.

    Raises:
        DataError: shapes differ, or a reconstruction is not a number.
    """
    found = reconstructions.detach().float().clamp(0, 1)
    large = min(victims.shape[2:]) >= WINDOW
    return Reconstruction(
        images=np.asarray(found.contiguous().numpy(), np.float32),
        mse=mse(victims, found),
        psnr=psnr(victims, found),
        ssim=ssim(victims, found) if large else np.full(len(victims), np.nan),
        seconds=seconds,
        notes=dict(notes or {}),
    )


def child(generator: torch.Generator) -> torch.Generator:
    """A generator of its own, seeded from another."""
    return torch.Generator().manual_seed(int(torch.randint(2**62, (1,), generator=generator)))
