"""One training loop, for the victim on its labels and for the thief on the victim's answers.

Measured on 2 cores of an AMD EPYC (Zen 4), batch 256, the default residual CNN at 64 x 64, images/s: float32 1,440,
bf16 2,085, float32 channels_last 1,975, bf16 channels_last 3,303. So: channels_last always, bf16 where the processor
has instructions for it (elsewhere it is emulated and slow).
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from foundation.errors import DataError
from foundation.progress import SILENT, Progress
from victim.step import Step, TrainingSettings, as_input

# Under a one-cycle schedule an epoch at a high rate is noisy and says little of the end. On 392 radiographs (113 to
# validate on, three seeds) the weights of the best of all epochs gave 73-80 % on the test split, those of the best of
# the last third 80 %, the last ones 83-84 %. So only the last third is judged, and training keeps where it ends.
ANNEALED = 2 / 3

# A step on 128 images of 64 x 64 x 1 is small.
SMALL_STEP_BYTES = 128 * 64 * 64


@dataclass(frozen=True)
class Fitted:
    """What training did. `network` is in evaluation mode; `validation_loss` is the lowest seen."""

    network: nn.Module
    epochs: int
    validation_loss: float | None
    seconds: float


@contextmanager
def one_thread() -> Iterator[None]:
    """One thread of torch for a `with` block."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _threads_for(images: NDArray[np.uint8], batch: int) -> AbstractContextManager[None]:
    """One thread where a step is small.

    A second thread gains little there (a step of the default victim takes 61 ms instead of 75), loses at batch 32
    (30 ms instead of 25), and where somebody else uses the machine the two wait for each other: three epochs of 350
    images took 33 s instead of 2.
    """
    return one_thread() if batch * images[:1].nbytes <= SMALL_STEP_BYTES else nullcontext()


def one_hot(labels: NDArray[np.int64], classes: int) -> NDArray[np.float32]:
    """Labels [N] to rows [N, classes] that sum to 1."""
    return np.eye(classes, dtype=np.float32)[labels]


def fit(
    network: nn.Module,
    images: NDArray[np.uint8],
    targets: NDArray[np.float32],
    settings: TrainingSettings,
    generator: torch.Generator,
    *,
    validation: tuple[NDArray[np.uint8], NDArray[np.float32]] | None = None,
    progress: Progress = SILENT,
    description: str = "training",
) -> Fitted:
    """Train `network` in place.

    Args:
        network: takes float32 [N, C, H, W] in [0, 1], gives logits [N, classes].
        images: uint8 [N, H, W, C].
        targets: float32 [N, classes]; rows sum to 1 (one-hot labels or a victim's probabilities).
        settings: how.
        generator: the source of order and augmentation.
        validation: images and targets that stop training early; without them it runs to the end.

    Raises:
        DataError: there is nothing to train on, or the loss is no longer a number.
    """
    start = time.perf_counter()
    network.to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    steps = max(1, len(images) // settings.batch)
    step = Step(network, torch.from_numpy(targets), settings, settings.epochs * steps, generator)
    watch = _Watch(settings.patience)
    epoch = 0
    with closing(step), _threads_for(images, settings.batch), progress.task(description, settings.epochs) as advance:
        for epoch in range(1, settings.epochs + 1):
            losses = [step(images[rows.numpy()], rows) for rows in _batches(len(images), steps, generator)]
            if not np.isfinite(losses).all():
                raise DataError(f"{description}: the loss is no longer a number", hint="lower the learning rate")
            advance(1, f"loss {np.mean(losses):.3f}")
            if validation is None or epoch <= settings.epochs * ANNEALED:
                continue
            if watch.stops(epoch, _loss(network, *validation)):
                break
    network.eval()
    return Fitted(network, epoch, watch.loss, time.perf_counter() - start)


def _batches(count: int, steps: int, generator: torch.Generator) -> tuple[Tensor, ...]:
    return torch.tensor_split(torch.randperm(count, generator=generator), steps)


class _Watch:
    """Sees when the validation loss no longer falls."""

    def __init__(self, patience: int | None) -> None:
        self.patience = patience
        self.loss: float | None = None
        self.epoch = 0

    def stops(self, epoch: int, loss: float) -> bool:
        """Take note of an epoch; true once patience is spent."""
        if self.loss is None or loss < self.loss:
            self.loss, self.epoch = loss, epoch
        return self.patience is not None and epoch - self.epoch >= self.patience


def predict(network: nn.Module, images: NDArray[np.uint8], batch: int = 256) -> NDArray[np.float32]:
    """Logits float32 [N, classes] of uint8 images [N, H, W, C], in float32 arithmetic."""
    network.eval()
    with torch.inference_mode():
        parts = [network(as_input(images[k : k + batch])).float() for k in range(0, len(images), batch)]
    return np.asarray(torch.cat(parts).numpy(), np.float32)


def _loss(network: nn.Module, images: NDArray[np.uint8], targets: NDArray[np.float32]) -> float:
    logits = torch.from_numpy(predict(network, images))
    return float(functional.cross_entropy(logits, torch.from_numpy(targets)))
