"""Images from shared gradients: a guess is changed until its gradients are those that were seen.

DLG (Zhu et al. 2019, "Deep Leakage from Gradients", algorithm 1), iDLG (Zhao et al. 2020, "iDLG: Improved Deep Leakage
from Gradients") and inverting gradients (Geiping et al. 2020, "Inverting Gradients: How easy is it to break
privacy in federated learning?", eq. 4). The first two want a network that is smooth: gradients of ReLU have no slope of
their own almost everywhere, and L-BFGS then goes nowhere; their authors replace ReLU by the sigmoid and do without
strides. Here the network is the victim's as it is. The third needs signs only.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.nn import functional

from defense.inversion.exchange import Exchange, Gradients
from defense.inversion.reconstruction import Reconstruction, child, measured
from defense.split.model import SplitModel
from foundation.errors import DataError, UsageError
from foundation.progress import SILENT, Progress

METHODS = ("dlg", "idlg", "geiping")


@dataclass(frozen=True)
class GradientSettings:
    """How a gradient is inverted.

    Attributes:
        batch: images whose gradient is shared together.
        steps: of L-BFGS (DLG, iDLG) or of signed Adam (Geiping); None takes 100, and 600.
        restarts: guesses, of which the one whose gradient fits best counts.
        rate: learning rate of signed Adam, in units of the pixel range; lowered tenfold at 3/8, 5/8 and 7/8 of the
            steps, as in the authors' code (whose 0.1 is of images scaled to a deviation of 1).
        variation: weight of total variation (Geiping, eq. 4), of its mean over the pixels.
        everything: gradients of the server's parameters are shared too.
    """

    batch: int = 1
    steps: int | None = None
    restarts: int = 1
    rate: float = 0.025
    variation: float = 1.0
    everything: bool = False

    def __post_init__(self) -> None:
        if self.batch < 1 or self.restarts < 1 or (self.steps is not None and self.steps < 1) or not self.rate > 0:
            raise UsageError("inverting gradients wants a batch, steps, restarts and a rate of more than 0")


def gradient_attack(
    model: SplitModel,
    victims: Tensor,
    labels: Tensor,
    method: str,
    settings: GradientSettings,
    generator: torch.Generator,
    progress: Progress = SILENT,
    *,
    start: Tensor | None = None,
) -> Reconstruction:
    """Share the gradients of the victims' batches, and invert each.

    The attacker knows weights, protection and batch size. Labels cross the channel in split learning: iDLG and Geiping
    take them from there (iDLG's own rule, `inferred_label`, needs the last layer's gradient). DLG does without and
    finds them together with the image. The guesses of a batch have no order: they are matched to the victims so that
    the error is least.

    Args:
        model: whose step is shared; left unchanged.
        victims: float32 [N, C, H, W] in [0, 1].
        labels: int64 [N].
        method: one of `METHODS`.
        settings: of the inversion.
        generator: the source of chance.
        progress: where to show progress.
        start: float32 [C, H, W] in [0, 1], from which Geiping's first guess starts (the mean of images of the same
            kind); None, and every restart, starts from noise about grey. DLG and iDLG start from noise.

    Returns:
        the reconstructions; notes: `mismatch`, mean distance of gradients at the end.

    Raises:
        UsageError: unknown method.
        DataError: no victims, or not one label each.
    """
    if method not in METHODS:
        raise UsageError(f"unknown gradient attack {method!r}", hint=f"use {', '.join(METHODS)}")
    if not len(victims) or len(labels) != len(victims):
        raise DataError(f"gradients of {len(victims)} images with {len(labels)} labels")
    began = time.perf_counter()
    exchange = Exchange(model, generator, everything=settings.everything)
    found, misses = [], []
    with progress.task(f"inverting gradients ({method})", len(victims)) as advance:
        for x, y in zip(torch.split(victims, settings.batch), torch.split(labels, settings.batch), strict=True):
            seen = exchange.shared(x, y)
            guess, miss = invert(exchange, seen, y, tuple(x.shape), method, settings, generator, start)
            found.append(_matched(guess, x))
            misses.append(miss)
            advance(len(x), f"mismatch {miss:.2e}")
    notes = {"mismatch": float(np.mean(misses))}
    return measured(torch.cat(found), victims, time.perf_counter() - began, notes)


def invert(
    exchange: Exchange,
    seen: Gradients,
    labels: Tensor,
    shape: tuple[int, ...],
    method: str,
    settings: GradientSettings,
    generator: torch.Generator,
    start: Tensor | None = None,
) -> tuple[Tensor, float]:
    """Images float32 of `shape` in [0, 1] whose gradients are like those seen, and how unlike they still are."""
    best: tuple[Tensor, float] | None = None
    for restart in range(settings.restarts):
        if method == "geiping":
            x = _first_guess(shape, generator, None if restart else start)
            found = _signed_adam(exchange, seen, labels, x, settings, generator)
        else:
            known = labels if method == "idlg" else None
            found = _lbfgs(exchange, seen, known, len(labels), shape, settings, generator)
        if best is None or found[1] < best[1]:
            best = found
    assert best is not None
    return best


def inferred_label(seen_bias: Tensor) -> int:
    """The class of a single image, from the gradient [classes] of the last layer's bias (iDLG).

    Cross entropy's gradient there is softmax - target, negative at the true class alone; label smoothing keeps the
    true class the most negative.
    """
    return int(seen_bias.argmin())


def _lbfgs(
    exchange: Exchange,
    seen: Gradients,
    labels: Tensor | None,
    batch: int,
    shape: tuple[int, ...],
    settings: GradientSettings,
    generator: torch.Generator,
) -> tuple[Tensor, float]:
    """DLG; with known labels iDLG. From noise, squared distance of gradients, L-BFGS."""
    x = torch.rand(shape, generator=generator).requires_grad_()
    logits: Tensor | None = None
    if labels is None:
        classes = exchange.classes(shape)
        logits = torch.randn(batch, classes, generator=generator).requires_grad_()
    unknown = [x] if logits is None else [x, logits]
    optimizer = torch.optim.LBFGS(unknown, lr=1.0, max_iter=20, history_size=100, line_search_fn="strong_wolfe")
    noise = int(torch.randint(2**62, (1,), generator=generator))

    def closure() -> Tensor:
        # L-BFGS wants a function: the same noise at every look.
        target = labels if logits is None else functional.softmax(logits, dim=1)
        assert target is not None
        distance = squared(exchange.guessed(x, target, torch.Generator().manual_seed(noise)), seen)
        for leaf, slope in zip(unknown, torch.autograd.grad(distance, unknown, allow_unused=True), strict=True):
            leaf.grad = torch.zeros_like(leaf) if slope is None else torch.nan_to_num(slope)
        return distance.detach()

    best: tuple[Tensor, float] = (x.detach().clone(), float("inf"))
    for _ in range(max(1, (settings.steps or 100) // 20)):
        optimizer.step(closure)  # type: ignore[no-untyped-call]
        miss = float(closure())
        if not miss < best[1]:
            break
        best = (x.detach().clone(), miss)
    return best[0].clamp(0, 1), best[1]


def _first_guess(shape: tuple[int, ...], generator: torch.Generator, start: Tensor | None) -> Tensor:
    # Little noise: what is far from the truth a guess that is kept in [0, 1] hardly loses again; some, since the images
    # of a batch must differ to be told apart.
    noise = torch.randn(shape, generator=generator)
    return (0.5 + 0.1 * noise if start is None else start.expand(shape) + 0.01 * noise).clamp(0, 1)


def _signed_adam(
    exchange: Exchange,
    seen: Gradients,
    labels: Tensor,
    x: Tensor,
    settings: GradientSettings,
    generator: torch.Generator,
) -> tuple[Tensor, float]:
    """Cosine distance and total variation, Adam on the slope's sign, pixels kept in [0, 1]."""
    x = x.requires_grad_()
    steps, noise = settings.steps or 600, child(generator)
    optimizer = torch.optim.Adam([x], settings.rate)
    marks = [steps * eighth // 8 for eighth in (3, 5, 7)]
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, marks, gamma=0.1)
    best: tuple[Tensor, float] = (x.detach().clone(), float("inf"))
    for _ in range(steps):
        distance = cosine_distance(exchange.guessed(x, labels, noise), seen)
        objective = distance + settings.variation * total_variation(x)
        if objective.item() < best[1]:
            best = (x.detach().clone(), objective.item())
        (slope,) = torch.autograd.grad(objective, x)
        x.grad = torch.nan_to_num(slope).sign()
        optimizer.step()
        schedule.step()
        with torch.no_grad():
            x.clamp_(0, 1)
    return best


def squared(guessed: Gradients, seen: Gradients) -> Tensor:
    """Sum of squared differences, a scalar (DLG)."""
    return torch.stack([(g - s).square().sum() for g, s in zip(guessed, seen, strict=True)]).sum()


def cosine_distance(guessed: Gradients, seen: Gradients) -> Tensor:
    """1 - cosine of the angle between all gradients together, a scalar in [0, 2]."""
    dot = torch.stack([(g * s).sum() for g, s in zip(guessed, seen, strict=True)]).sum()
    return 1 - dot / (_length(guessed) * _length(seen)).clamp_min(1e-12)


def _length(gradients: Gradients) -> Tensor:
    return torch.stack([g.square().sum() for g in gradients]).sum().clamp_min(1e-24).sqrt()


def total_variation(x: Tensor) -> Tensor:
    """Mean absolute difference of neighbours, across and down, a scalar."""
    zero = x.new_zeros(())
    down = (x[:, :, 1:] - x[:, :, :-1]).abs().mean() if x.shape[2] > 1 else zero
    across = (x[:, :, :, 1:] - x[:, :, :, :-1]).abs().mean() if x.shape[3] > 1 else zero
    return down + across


def _matched(guess: Tensor, truth: Tensor) -> Tensor:
    """The guesses in the order in which they err least."""
    costs = (truth.flatten(1).unsqueeze(1) - guess.flatten(1).unsqueeze(0)).square().mean(2)
    _, columns = linear_sum_assignment(costs.numpy())
    return guess[torch.from_numpy(columns)]
