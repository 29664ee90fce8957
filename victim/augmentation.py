"""Small changes that leave a diagnosis as it is: shift, turn, scale, contrast and brightness."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional


def augment(
    images: Tensor,
    generator: torch.Generator,
    *,
    degrees: float = 8.0,
    shift: float = 0.08,
    scale: float = 0.08,
    contrast: float = 0.15,
    brightness: float = 0.06,
) -> Tensor:
    """Change every image a little, each its own way.

    Args:
        images: float32 [N, C, H, W] in [0, 1].
        generator: the source of chance.
        degrees: largest turn, either way.
        shift: largest shift, as a fraction of the half-width.
        scale: largest relative change of size.
        contrast: largest relative change of contrast.
        brightness: largest change of brightness, in units of the full range.

    Returns:
        The same shape and range. Pixels from outside the frame repeat the border's.
    """
    count = len(images)

    def uniform(bound: float) -> Tensor:
        return (torch.rand(count, generator=generator) * 2 - 1) * bound

    angle, zoom = uniform(degrees) * (math.pi / 180), 1 + uniform(scale)
    cos, sin = torch.cos(angle) * zoom, torch.sin(angle) * zoom
    grid = _grid(images.shape[2], images.shape[3], cos, sin, uniform(shift), uniform(shift))
    moved = functional.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)
    gain, offset = (1 + uniform(contrast)).view(-1, 1, 1, 1), uniform(brightness).view(-1, 1, 1, 1)
    centre = moved.mean(dim=(1, 2, 3), keepdim=True)
    return ((moved - centre) * gain + centre + offset).clamp_(0, 1)


def _grid(height: int, width: int, cos: Tensor, sin: Tensor, right: Tensor, down: Tensor) -> Tensor:
    """Where each pixel comes from, in [-1, 1]: what `affine_grid` gives, at a quarter of its cost for small images."""
    x = ((torch.arange(width) * 2 + 1) / width - 1).view(1, 1, -1)
    y = ((torch.arange(height) * 2 + 1) / height - 1).view(1, -1, 1)
    cos, sin, right, down = (value.view(-1, 1, 1) for value in (cos, sin, right, down))
    return torch.stack([x * cos - y * sin + right, x * sin + y * cos + down], dim=-1)


def mix(images: Tensor, targets: Tensor, alpha: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Blend every image, and its target, with another of the batch (Zhang et al. 2018, "mixup", eq. 1).

    Args:
        images: float32 [N, C, H, W].
        targets: float32 [N, classes].
        alpha: of the Beta(alpha, alpha) distribution of the blend.
        generator: the source of chance.
    """
    # Johnk's method: Beta from uniforms, since torch's own Beta takes no generator. Valid for alpha <= 1.
    while True:
        u, v = (float(x) ** (1 / alpha) for x in torch.rand(2, generator=generator))
        if 0 < u + v <= 1:
            break
    blend, partner = u / (u + v), torch.randperm(len(images), generator=generator)
    return blend * images + (1 - blend) * images[partner], blend * targets + (1 - blend) * targets[partner]
