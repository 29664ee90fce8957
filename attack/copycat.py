"""The copycat: a network of the thief's own, trained on nothing but the victim's answers."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from foundation.answers import Answers
from foundation.machine import cores
from foundation.progress import SILENT, Progress
from victim.models import build
from victim.step import TrainingSettings
from victim.training import fit

# Images shown to a copycat in training, in all; few answers are shown at most 60 times, many at least 8.
TRAINING_SAMPLES = 10_000


@dataclass(frozen=True)
class Copycat:
    """A trained thief: its network in evaluation mode, and the seconds it took to train."""

    network: nn.Module
    seconds: float


def train_copycat(
    images: NDArray[np.uint8],
    answers: Answers,
    architecture: str,
    seed: int,
    *,
    settings: TrainingSettings | None = None,
    progress: Progress = SILENT,
) -> Copycat:
    """Train a network on queried images and the answers to them (Correia-Silva et al. 2018, "Copycat CNN").

    Nothing but queried data: no validation on labels that the thief does not have, so it trains to the schedule's end.

    Args:
        images: uint8 [N, H, W, C], as they were asked.
        answers: one for each image; hard labels, or probabilities where the policy lets them out.
        architecture: of the thief's choice; see `victim.models.build`.
        seed: of initial weights, order and augmentation.
        settings: None fits them to N.
        progress: where to show it.
    """
    generator = torch.Generator().manual_seed(seed)
    network = build(architecture, images.shape[3], answers.classes, generator)
    chosen = settings or TrainingSettings.for_images(len(images), samples=TRAINING_SAMPLES)
    # The answers are as soft as the policy lets them be; smoothing them further would only blur.
    chosen = replace(chosen, label_smoothing=chosen.label_smoothing if answers.scores is None else 0.0)
    targets = answers.targets()
    if len(images) == 1:
        # Of a small image one value is left in each channel, and batch normalisation needs two.
        images, targets = np.repeat(images, 2, axis=0), np.repeat(targets, 2, axis=0)
    fitted = fit(
        network,
        images,
        targets,
        chosen,
        generator,
        progress=progress,
        description=f"copycat of {len(answers)} answers",
    )
    return Copycat(fitted.network, fitted.seconds)


class CopycatTrainer:
    """Trains several copycats at once, each on one core.

    Small networks gain little from a second core: on 2 cores two of them side by side learn from 4,300 images/s where
    one after the other, on both cores, gets 2,500. The querying of the next thief goes on meanwhile.
    """

    def __init__(self, workers: int | None = None, progress: Progress = SILENT) -> None:
        self._workers = workers or cores()
        self._progress = progress
        self._threads = torch.get_num_threads()
        self._pool = ThreadPoolExecutor(self._workers, thread_name_prefix="edgecat-copycat")

    @property
    def workers(self) -> int:
        """How many are trained at once."""
        return self._workers

    def submit(self, images: NDArray[np.uint8], answers: Answers, architecture: str, seed: int) -> Future[Copycat]:
        """Begin to train one; see `train_copycat`."""
        return self._pool.submit(train_copycat, images, answers, architecture, seed, progress=self._progress)

    def __enter__(self) -> CopycatTrainer:
        torch.set_num_threads(1)
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)
        torch.set_num_threads(self._threads)
