"""One step of training: settings, inputs, and the optimiser's step on one batch, shared by several threads if asked."""

from __future__ import annotations

import copy
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from foundation.errors import DataError
from victim.augmentation import augment, mix


@dataclass(frozen=True)
class TrainingSettings:
    """How a network is trained (AdamW under a one-cycle schedule, Smith & Topin 2018).

    Attributes:
        epochs: passes over the images, at most.
        batch: images per step.
        learning_rate: the schedule's peak.
        weight_decay: of AdamW.
        patience: epochs without a better validation loss before training stops, counted in the schedule's last
            third; None trains on to the end.
        augmented: shift, turn, scale and change contrast a little, anew in every epoch.
        mixup: parameter of the Beta distribution that mixes pairs of images and their targets (Zhang et al. 2018,
            "mixup", eq. 1); 0 turns it off.
        label_smoothing: share of each target that is spread over all classes (Szegedy et al. 2016, section 7).
        balanced: weigh classes by the inverse of their frequency.
        workers: threads that share a step, each with a part of the batch; part of the result, since batch statistics
            are those of a part. Two halves of a step of the default victim take 45 ms where the whole takes 89.
        temperature: by which logits are divided before the softmax, those of the targets too (Hinton et al. 2015,
            "Distilling the knowledge in a neural network", section 2); 1 or more. Above 1 it tells more of how a
            teacher ranks the classes that it does not name.
        bf16: None uses bf16 where the processor has it.
    """

    epochs: int = 12
    batch: int = 128
    learning_rate: float = 4e-3
    weight_decay: float = 5e-3
    patience: int | None = 5
    augmented: bool = True
    mixup: float = 0.4
    label_smoothing: float = 0.1
    balanced: bool = True
    workers: int = 1
    temperature: float = 1.0
    bf16: bool | None = None

    @classmethod
    def for_images(cls, count: int, *, samples: int = 30_000) -> TrainingSettings:
        """Settings that fit the size of a data set: few images get many epochs and small batches.

        Args:
            count: how many images there are to train on.
            samples: about how many images to show in all; at least 8 and at most 60 epochs.
        """
        epochs = min(60, max(8, round(samples / max(count, 1))))
        patience = max(3, epochs // 4)
        if count < 1_000:
            return cls(epochs=epochs, batch=32, patience=patience)
        # Mixing pairs helps where there are few images; on 6,000 phantoms it cost the victim 10 of 96 points.
        if count < 4_000:
            return cls(epochs=epochs, batch=64, patience=patience, mixup=0.0)
        return cls(epochs=epochs, batch=128, learning_rate=8e-3, patience=patience, mixup=0.0)


def has_bf16() -> bool:
    """Whether this processor computes bf16 natively."""
    probe = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return bool(probe is not None and probe())


def native_bf16() -> torch.autocast:
    """Within it networks compute in bf16 where this processor does natively, in float32 elsewhere."""
    return torch.autocast("cpu", torch.bfloat16, enabled=has_bf16())


def as_input(images: NDArray[np.uint8]) -> Tensor:
    """uint8 [N, H, W, C] to float32 [N, C, H, W] in [0, 1], channels_last in memory."""
    # Images on disk are read-only, of which torch warns: those are copied.
    return torch.from_numpy(np.require(images, requirements=["C", "W"])).permute(0, 3, 1, 2).to(torch.float32) / 255.0


def as_images(x: Tensor) -> NDArray[np.uint8]:
    """float32 [N, C, H, W] in [0, 1] to uint8 [N, H, W, C], rounded: the way back from `as_input`."""
    return np.ascontiguousarray((x * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy())


def class_weights(targets: Tensor) -> Tensor:
    """Inverse class frequency, mean 1 over the images; a class that never occurs gets weight 0.

    Args:
        targets: float32 [N, classes], rows sum to 1.

    Raises:
        DataError: there is no image.
    """
    mass = targets.sum(0)
    if not float(mass.sum()) > 0:
        raise DataError("nothing to train on: no images")
    present = mass > 0
    weights = torch.where(present, mass.sum() / (mass.clamp_min(1e-9) * present.sum()), torch.zeros_like(mass))
    # A class seen a handful of times must not drown the rest.
    return weights.clamp_max(10.0)


def softened(targets: Tensor, temperature: float) -> Tensor:
    """Probabilities float32 [N, classes] as they were had their logits been divided by the temperature first."""
    if temperature == 1.0:
        return targets
    powers = targets.clamp_min(1e-7) ** (1 / temperature)
    return powers / powers.sum(1, keepdim=True)


class Step:
    """One step of the optimiser on one batch.

    With several workers each holds a replica of the network that shares the parameters and has gradients of its own;
    their weighted sum is the gradient of the batch. Batch statistics are kept from the first worker's part.
    """

    def __init__(
        self, network: nn.Module, targets: Tensor, settings: TrainingSettings, total: int, generator: torch.Generator
    ) -> None:
        self.network, self.settings = network, settings
        self.targets = softened(targets, settings.temperature)
        self.weights = class_weights(targets) if settings.balanced else None
        self.bf16 = has_bf16() if settings.bf16 is None else settings.bf16
        self._replicas = [network, *(_replica(network) for _ in range(settings.workers - 1))]
        self._generators = [generator, *(_child(generator) for _ in range(settings.workers - 1))]
        self._pool = ThreadPoolExecutor(max(settings.workers - 1, 1), thread_name_prefix="edgecat-step")
        rate = settings.learning_rate
        self.optimizer = torch.optim.AdamW(network.parameters(), rate, weight_decay=settings.weight_decay, fused=True)
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(self.optimizer, rate, total_steps=total, pct_start=0.2)

    def __call__(self, images: NDArray[np.uint8], rows: Tensor) -> float:
        """Learn from uint8 images [B, H, W, C], whose targets stand at `rows`; gives the loss."""
        parts = [part for part in np.array_split(np.arange(len(rows)), len(self._replicas)) if len(part)]
        others = [
            self._pool.submit(self._backward, worker, images[part], rows[part], len(part) / len(rows))
            for worker, part in enumerate(parts[1:], start=1)
        ]
        loss = self._backward(0, images[parts[0]], rows[parts[0]], len(parts[0]) / len(rows))
        loss += sum(other.result() for other in others)
        for replica in self._replicas[1 : len(parts)]:
            for own, other in zip(self.network.parameters(), replica.parameters(), strict=True):
                if own.grad is not None and other.grad is not None:
                    own.grad += other.grad
        self.optimizer.step()
        self.schedule.step()
        return loss

    def close(self) -> None:
        """Let the threads go."""
        self._pool.shutdown()

    def _backward(self, worker: int, images: NDArray[np.uint8], rows: Tensor, share: float) -> float:
        """Gradients of one part of the batch, in the worker's own replica; gives its part of the loss."""
        network, generator = self._replicas[worker], self._generators[worker]
        x, goal = as_input(images), self.targets[rows]
        if self.settings.augmented:
            x = augment(x, generator)
        if self.settings.mixup > 0:
            x, goal = mix(x, goal, self.settings.mixup, generator)
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bf16):
            logits = network(x)
        heat = self.settings.temperature
        loss = functional.cross_entropy(
            logits.float() / heat, goal, weight=self.weights, label_smoothing=self.settings.label_smoothing
        )
        network.zero_grad(set_to_none=True)
        # Gradients shrink with the square of the temperature.
        (loss * share * heat**2).backward()  # type: ignore[no-untyped-call]
        return loss.item() * share


def _replica(network: nn.Module) -> nn.Module:
    """A copy that shares the parameters' memory: what the optimiser does to one it does to both."""
    replica = copy.deepcopy(network)
    for own, shared in zip(replica.parameters(), network.parameters(), strict=True):
        own.data = shared.data
    return replica


def _child(generator: torch.Generator) -> torch.Generator:
    return torch.Generator().manual_seed(int(torch.randint(2**62, (1,), generator=generator)))
