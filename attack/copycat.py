"""The copycat: a network of the thief's own, trained on nothing but the victim's answers."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from attack.paid import Labelled
from attack.semi import fit_semi
from foundation.answers import Answers
from foundation.errors import DataError, UsageError
from foundation.machine import cores
from foundation.progress import SILENT, Progress
from victim.models import build
from victim.step import TrainingSettings
from victim.training import fit

# A network that has learnt one pool and goes on with another keeps what it knows.
FINE_TUNING_RATE = 0.25
# So many variants of few images need no further changes in training, which make some answers wrong. Fidelity of a thief
# of 100 images with such changes and without: 4,000 variants of radiographs 89 and 87 %, of phantoms 87 and 78 %;
# 16,000 of radiographs 91 and 94 %, of phantoms 93 and 94 %.
ENOUGH_VARIANTS = 8_000
FEW_ANSWERS = 1_500
# Few probabilities tell more at a temperature. Fidelity from labels, from probabilities, and from them at 2: of 250
# proxy phantoms 75, 82 and 83 %, of 500 86, 87 and 89 %, of 2,000 93, 92 and 92 %; of 4,000 variants of radiographs
# 89, 91 and 88 % (one seed). At 3 and 4 it was no better than at 2.
SOFT_TEMPERATURE = 2.0


def settings_for(count: int, *, varies: bool = False, soft: bool = False, effort: float = 1.0) -> TrainingSettings:
    """How a thief learns from `count` answers: the fewer, the more often, since many passes are cheap then.

    What helps a victim against the noise of its labels (mix-up, label smoothing) only blurs answers that are exact.
    Classes are not weighed: that gained nothing on 16,000 variants of radiographs and cost 2 points on phantoms. An
    average of the weights did not gain either (50,000 variants of radiographs: 92.0 % in place of 92.7).

    Args:
        count: how many answers there are, at least 1.
        varies: whether the images are variants of a few, each with an answer of its own.
        soft: whether the answers tell probabilities.
        effort: above 0; half the effort is half the passes.
    """
    epochs = max(2, round(effort * min(120.0, 8 * (50_000 / count) ** 0.45)))
    batch = 32 if count < FEW_ANSWERS else 64 if count < 4_000 else 128
    return TrainingSettings(
        epochs=epochs,
        batch=batch,
        learning_rate=8e-3 if batch == 128 else 4e-3,
        patience=None,
        augmented=not varies or count < ENOUGH_VARIANTS,
        mixup=0.0,
        label_smoothing=0.0,
        balanced=False,
        temperature=SOFT_TEMPERATURE if soft and count < FEW_ANSWERS else 1.0,
    )


@dataclass(frozen=True)
class Copycat:
    """A trained thief: its network in evaluation mode, and the seconds it took to train."""

    network: nn.Module
    seconds: float


@dataclass(frozen=True)
class Lesson:
    """What a thief learns from.

    Attributes:
        parts: images uint8 [N, H, W, C] with one answer each; where there are several parts, they are learnt one after
            the other (non-problem-domain images first, the domain's own after: Correia-Silva et al. 2018).
        unlabelled: gives up to so many images of the pool that nobody asked about, uint8 [M, H, W, C].
        varies: whether the last part's images are variants of a few, each with an answer of its own.
        effort: how long to learn, see `settings_for`.
    """

    parts: tuple[Labelled, ...]
    unlabelled: Callable[[int], NDArray[np.uint8]] | None = None
    varies: bool = False
    effort: float = 1.0

    def __post_init__(self) -> None:
        if not self.parts:
            raise DataError("the strategy proposed no image at all")

    @property
    def classes(self) -> int:
        """How many classes the victim knows."""
        return self.parts[0][1].classes

    @property
    def channels(self) -> int:
        """Of the images."""
        return int(self.parts[0][0].shape[3])

    def answered(self) -> Lesson:
        """Without the images that the victim refused to answer: they are paid for, and teach nothing."""
        return replace(self, parts=tuple(_answered(part) for part in self.parts))

    def hardened(self) -> Lesson:
        """The lesson of a thief that takes the best class of each answer alone: both learn from what was paid once."""
        return replace(self, parts=tuple((images, answers.hardened()) for images, answers in self.answered().parts))


def _answered(part: Labelled) -> Labelled:
    images, answers = part
    refused = answers.refused
    return (images[~refused], answers.select(~refused)) if refused.any() else part


def train_copycat(
    lesson: Lesson,
    architecture: str,
    seed: int,
    *,
    learner: str = "supervised",
    network: nn.Module | None = None,
    settings: TrainingSettings | None = None,
    progress: Progress = SILENT,
) -> Copycat:
    """Train a network on queried images and the answers to them (Correia-Silva et al. 2018, "Copycat CNN").

    Nothing but queried data: no validation on labels that the thief does not have, so it trains to the schedule's end.
    Whom every answer was refused has an untrained network.

    Args:
        lesson: what was asked and answered; hard labels, or probabilities where the policy lets them out.
        architecture: of the thief's choice; see `victim.models.build`.
        seed: of initial weights, order and augmentation.
        learner: a key of `LEARNERS`.
        network: is trained on, in place, instead of a new one of the architecture.
        settings: None fits them to each part.
        progress: where to show it.
    """
    check_learner(learner)
    generator = torch.Generator().manual_seed(seed)
    if network is None:
        network = build(architecture, lesson.channels, lesson.classes, generator)
    seconds = 0.0
    parts = lesson.answered().parts
    for number, (images, answers) in enumerate(parts):
        last = number == len(parts) - 1
        if not len(images):
            progress.say(f"the victim refused every answer to part {number + 1} of the pool: nothing to learn there")
            continue
        varies, soft = lesson.varies and last, answers.scores is not None
        chosen = settings or settings_for(len(images), varies=varies, soft=soft, effort=lesson.effort)
        if number:
            chosen = replace(chosen, learning_rate=chosen.learning_rate * FINE_TUNING_RATE)
        # The unqueried images are of the pool's last part: what is learnt before is learnt from answers alone.
        unlabelled = (lesson.unlabelled or _nothing) if learner == "semi" and last else None
        seconds += _learn(network, images, answers, chosen, generator, progress, unlabelled)
    return Copycat(network.eval(), seconds)


def _nothing(_: int) -> NDArray[np.uint8]:
    return np.empty((0, 1, 1, 1), np.uint8)


def _learn(
    network: nn.Module,
    images: NDArray[np.uint8],
    answers: Answers,
    settings: TrainingSettings,
    generator: torch.Generator,
    progress: Progress,
    unlabelled: Callable[[int], NDArray[np.uint8]] | None = None,
) -> float:
    targets = answers.targets()
    if len(images) == 1:
        # Of a small image one value is left in each channel, and batch normalisation needs two.
        images, targets = np.repeat(images, 2, axis=0), np.repeat(targets, 2, axis=0)
    description = f"copycat of {len(answers)} answers"
    if unlabelled is not None:
        return fit_semi(
            network, images, targets, unlabelled, settings, generator, progress=progress, description=description
        )
    return fit(network, images, targets, settings, generator, progress=progress, description=description).seconds


# What a thief may learn from: answers alone, or unqueried images as well (`attack.semi`).
LEARNERS = ("supervised", "semi")


def check_learner(name: str) -> None:
    """See to it that there is such a learner.

    Raises:
        UsageError: there is none.
    """
    if name not in LEARNERS:
        raise UsageError(f"unknown learner {name!r}", hint=f"use {' or '.join(LEARNERS)}")


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

    def submit(self, lesson: Lesson, architecture: str, seed: int, learner: str = "supervised") -> Future[Copycat]:
        """Begin to train one; see `train_copycat`."""
        return self._pool.submit(train_copycat, lesson, architecture, seed, learner=learner, progress=self._progress)

    def __enter__(self) -> CopycatTrainer:
        torch.set_num_threads(1)
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)
        torch.set_num_threads(self._threads)
