"""The client attacks its own images with a reversed Jacobian saliency map (PSGL, section IV-A).

With f the probabilities, alpha = df_y/dx and beta = the sum of the other classes' slopes, the map is M = -alpha * beta
where alpha < 0 and beta > 0, and 0 elsewhere (Eq. 1; Papernot et al. 2016, "The Limitations of Deep Learning in
Adversarial Settings", eq. 8, with the signs reversed). Probabilities sum to one, so beta is -alpha: one backward pass
gives both, M = alpha^2 where alpha < 0, and no pixel is ever darkened.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from foundation.errors import DataError, UsageError

Judge = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class MapSettings:
    """How the map is made.

    Attributes:
        kind: `raw` takes Eq. 1 literally; `normalised` scales each image's map so that its largest entry is `epsilon`;
            `iterated` is the attack that JSMA proper is: pixel by pixel until the class changes.
        epsilon: in units of the pixel range; what `iterated` adds to a pixel, too.
        pixels: share of an image's numbers that `iterated` may change.
        steps: in which it changes them.
        label: whose probability's slopes: of the class predicted, or of the true one where it is known. The true one
            lets the network read the label off the map in training, and at inference there is none (docs/psgl.md).
    """

    kind: Literal["raw", "normalised", "iterated"] = "raw"
    epsilon: float = 0.25
    pixels: float = 0.1
    steps: int = 4
    label: Literal["true", "predicted"] = "predicted"

    def __post_init__(self) -> None:
        if not (0 < self.epsilon <= 1 and 0 < self.pixels <= 1 and self.steps >= 1):
            raise UsageError("a map wants epsilon and pixels in (0, 1], and at least one step")


def reversed_map(alpha: Tensor, beta: Tensor) -> Tensor:
    """Eq. 1: -alpha * beta where alpha < 0 and beta > 0, else 0; so never negative. Any shape, both the same."""
    return torch.where((alpha < 0) & (beta > 0), -alpha * beta, 0.0)


def class_slopes(judge: Judge, x: Tensor, y: Tensor | None) -> tuple[Tensor, Tensor]:
    """The slope of each image's class probability.

    Args:
        judge: images to logits [B, classes], differentiable; no image's logits depend on another image.
        x: float32 [B, C, H, W].
        y: int64 [B]; None takes the predicted classes.

    Returns:
        alpha float32 [B, C, H, W], and the logits [B, classes] as `judge` gave them, with their graph.

    Raises:
        DataError: a slope is no number.
    """
    x = x.detach().requires_grad_()
    with torch.enable_grad():
        logits = judge(x)
        chosen = logits.argmax(1) if y is None else y
        probability = logits.float().softmax(1).gather(1, chosen[:, None]).sum()
        (alpha,) = torch.autograd.grad(probability, x, retain_graph=True)
    alpha = alpha.float()
    # One sum instead of a look at every number: NaN and infinities survive adding, and no finite slopes add up to one.
    if not bool(torch.isfinite(alpha.sum())):
        raise DataError("the slopes that PSGL's map is made of are no numbers", hint="lower the learning rate")
    return alpha, logits


def saliency_map(judge: Judge, x: Tensor, y: Tensor | None, settings: MapSettings) -> tuple[Tensor, Tensor]:
    """What a client adds to its images.

    Args:
        judge: as in `class_slopes`.
        x: float32 [B, C, H, W] in [0, 1].
        y: int64 [B], true classes, where they are known.
        settings: how.

    Returns:
        the map, float32 [B, C, H, W] >= 0; and the logits of the images before the attack, with their graph.

    Raises:
        DataError: a slope is no number.
    """
    chosen = y if settings.label == "true" else None
    alpha, logits = class_slopes(judge, x, chosen)
    if settings.kind == "iterated":
        return _iterated(judge, x.detach(), logits.argmax(1) if chosen is None else chosen, alpha, settings), logits
    found = reversed_map(alpha, -alpha)
    return (normalised(found, settings.epsilon) if settings.kind == "normalised" else found), logits


def normalised(found: Tensor, epsilon: float) -> Tensor:
    """Each image's map [B, C, H, W] scaled so that its largest entry is `epsilon`; an empty map stays empty."""
    largest = found.amax((1, 2, 3), keepdim=True)
    return torch.where(largest > 0, found * (epsilon / largest), 0.0)


def _iterated(judge: Judge, x: Tensor, y: Tensor, alpha: Tensor, settings: MapSettings) -> Tensor:
    """Raise the most salient pixels by epsilon, a share in each step, until an image is no longer taken for class y.

    A pixel is changed once (Papernot et al. 2016, algorithm 3); here many in one step, since a step costs a pass.
    """
    attacked, free = x.clone(), torch.ones_like(x, dtype=torch.bool)
    at_once = max(1, round(settings.pixels * x[0].numel() / settings.steps))
    fooled = torch.zeros(len(x), dtype=torch.bool)
    for step in range(settings.steps):
        if step:
            alpha, logits = class_slopes(judge, attacked, y)
            fooled |= logits.argmax(1) != y
            if bool(fooled.all()):
                break
        salience = reversed_map(alpha, -alpha) * free
        best, places = salience.flatten(1).topk(at_once)
        raised = torch.where((best > 0) & ~fooled[:, None], settings.epsilon, 0.0)
        change = torch.zeros_like(x).flatten(1).scatter(1, places, raised).view_as(x)
        attacked, free = (attacked + change).clamp(max=1), free & (change == 0)
    return attacked - x
