"""Gradients by the image, which a thief has of its own networks alone."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn


def slope(network: nn.Module, x: Tensor, objective: Callable[[Tensor], Tensor]) -> Tensor:
    """Gradient of an objective by each image of its own.

    Args:
        network: in evaluation mode, where no image's logits depend on another image.
        x: float32 [N, C, H, W] in [0, 1].
        objective: logits [N, classes] to values [N].

    Returns:
        float32 [N, C, H, W].
    """
    x = x.detach().requires_grad_()
    with torch.enable_grad():
        (gradient,) = torch.autograd.grad(objective(network(x)).sum(), x)
    return gradient
