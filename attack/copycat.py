"""The copycat: a network of the thief's own, trained on nothing but the victim's answers."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from foundation.answers import Answers
from foundation.progress import SILENT, Progress
from victim.models import build
from victim.training import TrainingSettings, fit


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
    chosen = settings or TrainingSettings.for_images(len(images))
    # The answers are as soft as the policy lets them be; smoothing them further would only blur.
    chosen = replace(chosen, label_smoothing=chosen.label_smoothing if answers.scores is None else 0.0)
    fitted = fit(
        network,
        images,
        answers.targets(),
        chosen,
        generator,
        progress=progress,
        description=f"copycat of {len(images)} answers",
    )
    return Copycat(fitted.network, fitted.seconds)
