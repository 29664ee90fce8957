"""A semi-supervised thief: after the answers that it paid for it learns from images that it never asked about.

After QueryWise ("Assessing Risk of Stealing Proprietary Models for Medical Imaging Tasks", MICCAI 2024, arXiv
2506.19464), in two steps. First the network learns from the answers alone; so it stays, as the anchor. Then it goes on
with the answers and with the pool's unqueried images, of which it learns what the anchor and a teacher hold: the
teacher is the running average of its own weights (Tarvainen & Valpola 2017, "Mean teachers", section 2). Both judge an
image as it is, the network sees it changed a lot, and it counts where the anchor is confident (Sohn et al. 2020,
"FixMatch", eq. 4). Other than in QueryWise the second step starts from the anchor, not afresh, which halves the work.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from foundation.errors import DataError
from foundation.progress import SILENT, Progress
from victim.augmentation import augment, mix
from victim.step import TrainingSettings, as_input, class_weights, has_bf16
from victim.training import fit

# Unqueried images that are held; more of them hardly differ.
MOST = 20_000

Unlabelled = Callable[[int], NDArray[np.uint8]]


@dataclass(frozen=True)
class SemiSettings:
    """How the second step goes.

    These did best of the few that were measured (one seed, hard labels, the plain CNN, 1,000 of another hospital's
    8,000 phantoms asked about): fidelity 86.1 % after 80.8 % of the first step, where an anchor's share of 0.5, half
    the rate and 0.4 of the length gave 81.1 %. Answers alone, learnt for twice as long, gave 86.1 % too, at 40 % of the
    work.

    Attributes:
        length: its epochs, as a share of the first step's.
        rate: its learning rate, as a share of the first step's.
        ratio: unqueried images in a step, for each one with an answer.
        weight: of their loss beside that of the answers.
        threshold: probability of its class from which on the anchor is confident.
        anchored: the anchor's share in what is learnt of them; the rest is the teacher's.
        decay: of the teacher's running average, per step.
    """

    length: float = 1.0
    rate: float = 1.0
    ratio: int = 2
    weight: float = 1.0
    threshold: float = 0.8
    anchored: float = 0.3
    decay: float = 0.99


def fit_semi(
    network: nn.Module,
    images: NDArray[np.uint8],
    targets: NDArray[np.float32],
    unlabelled: Unlabelled,
    settings: TrainingSettings,
    generator: torch.Generator,
    *,
    semi: SemiSettings | None = None,
    progress: Progress = SILENT,
    description: str = "training",
) -> float:
    """Train `network` in place; gives the seconds that it took.

    Args:
        network: takes float32 [N, C, H, W] in [0, 1], gives logits [N, classes].
        images: uint8 [N, H, W, C], N >= 2.
        targets: float32 [N, classes]; rows sum to 1.
        unlabelled: gives up to so many images that nobody asked about, uint8 [M, H, W, C]. Where there are none it is
            supervised training, and it says so.
        settings: of the first step.
        generator: the source of order and augmentation.
        semi: of the second step.
        progress: where to show it.
        description: what is trained.

    Raises:
        DataError: the loss is no longer a number.
    """
    start, semi = time.perf_counter(), semi or SemiSettings()
    fit(network, images, targets, settings, generator, progress=progress, description=description)
    epochs = max(1, round(settings.epochs * semi.length))
    others = unlabelled(min(MOST, epochs * len(images) * semi.ratio))
    if not len(others):
        progress.say(f"{description}: every image of the pool was asked about, so it learnt from the answers alone")
        return time.perf_counter() - start
    second = replace(settings, epochs=epochs, learning_rate=settings.learning_rate * semi.rate)
    steps = max(1, len(images) // settings.batch)
    step = _SemiStep(network, torch.from_numpy(targets), second, semi, epochs * steps, generator)
    with progress.task(f"{description} and {len(others)} unqueried images", epochs) as advance:
        for _ in range(epochs):
            losses = []
            for rows in torch.tensor_split(torch.randperm(len(images), generator=generator), steps):
                chosen = torch.randint(len(others), (semi.ratio * len(rows),), generator=generator)
                losses.append(step(images[rows.numpy()], rows, others[chosen.numpy()]))
            if not np.isfinite(losses).all():
                raise DataError(f"{description}: the loss is no longer a number", hint="lower the learning rate")
            advance(1, f"loss {np.mean(losses):.3f}")
    network.eval()
    return time.perf_counter() - start


class _SemiStep:
    """One step of the optimiser, on images with an answer and on others."""

    def __init__(
        self,
        network: nn.Module,
        targets: Tensor,
        settings: TrainingSettings,
        semi: SemiSettings,
        total: int,
        generator: torch.Generator,
    ) -> None:
        self.network, self.targets, self.settings, self.semi = network, targets, settings, semi
        self.generator = generator
        self.weights = class_weights(targets) if settings.balanced else None
        self.bf16 = has_bf16() if settings.bf16 is None else settings.bf16
        self.anchor = copy.deepcopy(network).eval()
        average = get_ema_multi_avg_fn(semi.decay)  # type: ignore[no-untyped-call]
        self.teacher = AveragedModel(network, multi_avg_fn=average, use_buffers=True).eval()
        rate = settings.learning_rate
        self.optimizer = torch.optim.AdamW(network.parameters(), rate, weight_decay=settings.weight_decay, fused=True)
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(self.optimizer, rate, total_steps=total, pct_start=0.2)
        network.train()

    def __call__(self, images: NDArray[np.uint8], rows: Tensor, others: NDArray[np.uint8]) -> float:
        """Learn from uint8 images [B, H, W, C], whose targets stand at `rows`, and from others; gives the loss."""
        x, goal = as_input(images), self.targets[rows]
        if self.settings.augmented:
            x = augment(x, self.generator)
        if self.settings.mixup > 0:
            x, goal = mix(x, goal, self.settings.mixup, self.generator)
        plain = as_input(others)
        held, counts = self._judge(plain)
        logits = self._logits(self.network, torch.cat([x, _changed_a_lot(plain, self.generator)]))
        answered, unanswered = logits[: len(x)], logits[len(x) :]
        smoothing = self.settings.label_smoothing
        loss = functional.cross_entropy(answered, goal, weight=self.weights, label_smoothing=smoothing)
        agreement = functional.cross_entropy(unanswered, held, reduction="none")
        loss = loss + self.semi.weight * (agreement * counts).mean()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self.schedule.step()
        self.teacher.update_parameters(self.network)
        return loss.item()

    @torch.no_grad()
    def _judge(self, plain: Tensor) -> tuple[Tensor, Tensor]:
        """What is held of images: float32 [N, classes], and whether each counts, float32 [N]."""
        anchor, teacher = (self._logits(judge, plain).softmax(1) for judge in (self.anchor, self.teacher))
        share = self.semi.anchored
        return share * anchor + (1 - share) * teacher, (anchor.amax(1) >= self.semi.threshold).float()

    def _logits(self, network: nn.Module, x: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bf16):
            logits: Tensor = network(x.contiguous(memory_format=torch.channels_last))
        return logits.float()


def _changed_a_lot(images: Tensor, generator: torch.Generator) -> Tensor:
    return augment(images, generator, degrees=15, shift=0.15, scale=0.15, contrast=0.35, brightness=0.12)
