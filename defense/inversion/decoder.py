"""A learned decoder: who can query the client's half learns to turn smashed data back into images.

The server of split learning can: it has the client's weights (a white box), and images of the same kind that are not
the victims' (Dosovitskiy & Brox 2016, "Inverting Visual Representations with Convolutional Networks"; He et al. 2019,
"Model Inversion Attacks Against Collaborative Inference"). The attacker is adaptive: every decoder is
trained anew against the protection that it meets, on smashed data as they are released.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from defense.inversion.networks import DECODERS, build_decoder
from defense.inversion.reconstruction import Reconstruction, child, measured
from defense.split.model import SplitModel
from foundation.errors import DataError, UsageError
from foundation.progress import SILENT, Progress
from victim.augmentation import augment
from victim.step import native_bf16

# Ridge regression in its dual form, a matrix of so many rows.
_MOST_ROWS = 2_000
# Each image also shifted and turned, seven ways; fewer where smashed data are large.
_COPIES = 8
_MOST_BYTES = 256 << 20
_RIDGES = tuple(10.0**exponent for exponent in range(-2, 7))


@dataclass(frozen=True)
class DecoderSettings:
    """How a decoder is trained (AdamW under a one-cycle schedule).

    Attributes:
        epochs: passes over the auxiliary images; the weights of the best epoch on the attacker's own validation
            images are kept.
        batch: images per step.
        learning_rate: the schedule's peak.
        weight_decay: of AdamW.
        validation: share of the auxiliary images that are not trained on and choose epoch and architecture.
        repeats: releases of the same image that are averaged, in training and in the attack: against noise.
        architectures: of `networks.DECODERS`, or `linear` (ridge regression); the best on validation attacks.
        augmented: every other epoch sees shifted and turned copies, whose smashed data the attacker computes.
    """

    epochs: int = 120
    batch: int = 32
    learning_rate: float = 2e-3
    weight_decay: float = 1e-3
    validation: float = 0.15
    repeats: int = 1
    architectures: tuple[str, ...] = ("linear", "dense", "convolutional")
    augmented: bool = True

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch < 1 or self.repeats < 1 or not 0 < self.validation < 1:
            raise UsageError("a decoder wants at least one epoch, image and release, and a validation share in (0, 1)")
        unknown = set(self.architectures) - {"linear", *DECODERS}
        if unknown or not self.architectures:
            raise UsageError(
                f"unknown decoders {sorted(unknown)}", hint=f"use some of linear, {', '.join(sorted(DECODERS))}"
            )


def decoder_attack(
    model: SplitModel,
    auxiliary: Tensor,
    victims: Tensor,
    settings: DecoderSettings,
    generator: torch.Generator,
    progress: Progress = SILENT,
    *,
    patients: NDArray[np.int64] | None = None,
) -> Reconstruction:
    """Train decoders on auxiliary images, and read the victims' smashed data with the best.

    Args:
        model: trained; looked at in evaluation mode, left unchanged.
        auxiliary: float32 [M, C, H, W] in [0, 1], of the victims' kind.
        victims: float32 [N, C, H, W] in [0, 1]; only their smashed data are looked at, at inference (no labels).
        settings: of the decoders.
        generator: the source of chance.
        progress: where to show progress.
        patients: int64 [M], whose each auxiliary image is: a decoder is not judged on patients that it learns from.
            None: each image is somebody else's.

    Returns:
        the reconstructions; notes give each decoder's validation error (`linear.validation_mse`) and its PSNR on the
        victims (`linear.psnr`), which only who has the victims' images can know.

    Raises:
        DataError: fewer than 4 auxiliary images, or no victims.
    """
    if len(auxiliary) < 4 or not len(victims):
        raise DataError(f"a decoder from {len(auxiliary)} auxiliary images for {len(victims)} victims")
    start = time.perf_counter()
    with model.evaluating():
        whose = np.arange(len(auxiliary)) if patients is None else patients
        attacker = _Attacker(model, auxiliary, whose, settings, generator)
        target = attacker.observe(victims)
        found: dict[str, tuple[float, Tensor]] = {}
        for name in settings.architectures:
            read = attacker.linear() if name == "linear" else attacker.trained(name, progress)
            found[name] = (attacker.error(read), _in_parts(read, target))
    best = min(found, key=lambda name: found[name][0])
    seconds = time.perf_counter() - start
    notes = {f"{name}.validation_mse": error for name, (error, _) in found.items()}
    notes |= {f"{name}.psnr": measured(images, victims, 0.0).mean_psnr for name, (_, images) in found.items()}
    return measured(found[best][1], victims, seconds, notes)


Reader = Callable[[Tensor], Tensor]


class _Attacker:
    """Auxiliary images with their smashed data, and what is learned from them."""

    def __init__(
        self,
        model: SplitModel,
        auxiliary: Tensor,
        patients: NDArray[np.int64],
        settings: DecoderSettings,
        generator: torch.Generator,
    ) -> None:
        self.model, self.settings, self.generator = model, settings, generator
        held, others = _parted(patients, settings.validation, generator)
        self.held, images = auxiliary[held], auxiliary[others]
        self.noise = child(generator)
        self.held_z = self.observe(self.held)
        self.shape = (self.held_z.shape[1], self.held_z.shape[2], self.held_z.shape[3])
        self.mean = images.mean(0)
        self.count = len(images)
        copies = self._copies() if settings.augmented else 1
        self.images = torch.cat([images, *(augment(images, generator) for _ in range(copies - 1))])
        # Looked at once: what is drawn anew for every look is the release alone.
        self.bare = self._bare(self.images)

    def _copies(self) -> int:
        one = self.count * self.held_z[0].numel() * self.held_z.element_size()
        return max(2, min(_COPIES, _MOST_BYTES // max(one, 1)))

    def _bare(self, images: Tensor) -> Tensor:
        """Smashed data before they are released."""
        with torch.no_grad():
            parts = torch.split(images, self.settings.batch * 4)
            return torch.cat([self.model.client(self.model.protection.prepare(x, None, self.model)) for x in parts])

    def _released(self, bare: Tensor) -> Tensor:
        """The mean of `repeats` releases."""
        with torch.no_grad():
            releases = [self.model.protection.release(bare, self.noise) for _ in range(self.settings.repeats)]
            return torch.stack(releases).mean(0) if len(releases) > 1 else releases[0]

    def observe(self, images: Tensor) -> Tensor:
        """Smashed data as they leave the client, the mean of `repeats` releases."""
        return self._released(self._bare(images))

    def error(self, read: Reader) -> float:
        """Mean squared error on the attacker's own validation images."""
        return float(functional.mse_loss(_in_parts(read, self.held_z), self.held))

    def linear(self) -> Reader:
        """Ridge regression, its strength chosen on the validation images."""
        z = self._released(self.bare[:_MOST_ROWS]).flatten(1)
        centre, spread = z.mean(0), z.std(0, correction=0) + 1e-6
        z = (z - centre) / spread
        change = (self.images[:_MOST_ROWS] - self.mean).flatten(1)
        values, vectors = torch.linalg.eigh(z @ z.T)
        rotated = vectors.T @ change

        def reader(ridge: float) -> Reader:
            weights = z.T @ (vectors @ (rotated / (values.clamp_min(0) + ridge).unsqueeze(1)))

            def read(target: Tensor) -> Tensor:
                guess = ((target.flatten(1) - centre) / spread) @ weights
                drawn: Tensor = guess.view(-1, *self.mean.shape) + self.mean
                return drawn.clamp(0, 1)

            return read

        return min(map(reader, _RIDGES), key=self.error)

    def trained(self, name: str, progress: Progress) -> Reader:
        """A decoder of `DECODERS`, as it was in its best epoch."""
        settings = self.settings
        decoder = build_decoder(name, self.shape, self.mean, self.generator)
        decoder.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        steps = max(1, self.count // settings.batch)
        rate = settings.learning_rate
        optimizer = torch.optim.AdamW(decoder.parameters(), rate, weight_decay=settings.weight_decay)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=settings.epochs * steps)
        best, kept = float("inf"), decoder
        every = max(1, settings.epochs // 30)
        with progress.task(f"{name} decoder", settings.epochs) as advance:
            for epoch in range(1, settings.epochs + 1):
                self._pass(decoder, optimizer, schedule, steps, changed=epoch % 2 == 0)
                if epoch % every and epoch != settings.epochs:
                    advance()
                    continue
                error = self.error(decoder.eval())
                if error < best:
                    best, kept = error, copy.deepcopy(decoder)
                advance(1, f"validation {error:.4f}")
        return kept.eval()

    def _pass(
        self,
        decoder: nn.Module,
        optimizer: torch.optim.Optimizer,
        schedule: torch.optim.lr_scheduler.LRScheduler,
        steps: int,
        *,
        changed: bool,
    ) -> None:
        """One epoch, on the images as they are or on changed ones where there are any."""
        decoder.train()
        order = torch.randperm(self.count, generator=self.generator)
        others = len(self.images) // self.count - 1
        if changed and others:
            order = order + self.count * torch.randint(1, others + 1, order.shape, generator=self.generator)
        for rows in torch.tensor_split(order, steps):
            z = self._released(self.bare[rows]).contiguous(memory_format=torch.channels_last)
            # Channels last and bf16 are three times as fast as neither; what a decoder is judged by is float32.
            with native_bf16():
                drawn = decoder(z)
            loss = functional.mse_loss(drawn.float(), self.images[rows])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()


def _parted(patients: NDArray[np.int64], share: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Rows of a share of the patients, drawn, and of the others; of a single patient, a share of the images."""
    names, whose = np.unique(patients, return_inverse=True)
    if len(names) < 2:
        names, whose = np.arange(len(patients)), np.arange(len(patients))
    place = torch.randperm(len(names), generator=generator).argsort()[torch.from_numpy(whose)]
    order, held = place.argsort(stable=True), int((place < max(1, round(len(names) * share))).sum())
    return order[:held], order[held:]


def _in_parts(read: Reader, z: Tensor) -> Tensor:
    with torch.no_grad():
        return torch.cat([read(part) for part in torch.split(z, 256)])
