"""DeepFool on batches: how far an image is from the substitute's nearest boundary."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from attack.strategies.substitute import in_batches

STEPS = 3
# Boundaries with so many of the likeliest other classes are looked at (the paper: 10 of 1,000).
RIVALS = 2
OVERSHOOT = 0.02


def margins(network: nn.Module, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """L2 norm of the perturbation that changes each image's class, in units of the full range over all pixels.

    Moosavi-Dezfooli et al. 2016, "DeepFool", algorithm 2, broken off after `STEPS` steps: what was not over the
    boundary by then is far from it, and ranks by how far it went.

    Args:
        network: in evaluation mode.
        images: uint8 [N, H, W, C], N >= 1.

    Returns:
        float32 [N]; infinite where no step leads anywhere.
    """
    return in_batches(images, lambda x: _margins(network, x))


def _margins(network: nn.Module, start: Tensor) -> Tensor:
    with torch.no_grad():
        logits = network(start)
    ranked = logits.topk(min(1 + RIVALS, logits.shape[1]), dim=1).indices
    own, rivals = ranked[:, :1], ranked[:, 1:]
    x, going, stuck = start.clone(), torch.arange(len(start)), torch.zeros(len(start), dtype=torch.bool)
    if not rivals.shape[1]:
        return torch.full((len(start),), torch.inf)
    for _ in range(STEPS):
        gaps, slopes = _linearised(network, x[going], own[going], rivals[going])
        inside = (gaps < 0).all(dim=1)
        going, gaps, slopes = going[inside], gaps[inside], slopes[inside]
        if not len(going):
            break
        step, flat = _step(gaps, slopes)
        stuck[going[flat]] = True
        x[going] += (1 + OVERSHOOT) * step.view(-1, *x.shape[1:])
    moved = (x - start).flatten(1).norm(dim=1)
    return torch.where(stuck, torch.inf, moved)


def _linearised(network: nn.Module, x: Tensor, own: Tensor, rivals: Tensor) -> tuple[Tensor, Tensor]:
    """By how much each rival's logit exceeds the own one, [N, R], and the slope of that, [N, R, pixels]."""
    x = x.detach().requires_grad_()
    logits = network(x)
    gaps = logits.gather(1, rivals) - logits.gather(1, own)
    count = gaps.shape[1]
    slopes = [torch.autograd.grad(gaps[:, k].sum(), x, retain_graph=k + 1 < count)[0] for k in range(count)]
    return gaps.detach(), torch.stack(slopes, dim=1).flatten(2)


def _step(gaps: Tensor, slopes: Tensor) -> tuple[Tensor, Tensor]:
    """The shortest step onto a linearised boundary, [N, pixels], and where there is none, bool [N]."""
    steepness = slopes.norm(dim=2)
    flat = (steepness < 1e-9).all(dim=1)
    distance = torch.where(steepness < 1e-9, torch.inf, gaps.abs() / steepness)
    rows, nearest = torch.arange(len(gaps)), distance.argmin(dim=1)
    # A boundary that is met exactly is not crossed: the paper adds a small constant too.
    length = (gaps[rows, nearest].abs() + 1e-4) / steepness[rows, nearest].clamp_min(1e-9) ** 2
    step = length[:, None] * slopes[rows, nearest]
    return torch.where(flat[:, None], 0.0, step), flat
