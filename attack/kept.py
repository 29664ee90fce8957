"""Copycats that are kept on disk by what they were taught, so that none is trained twice."""

from __future__ import annotations

import hashlib
import json
from concurrent.futures import Future
from pathlib import Path

import numpy as np

from attack.copycat import Copycat, CopycatTrainer, Lesson, train_copycat
from foundation.errors import ArtifactError
from foundation.progress import SILENT, Progress
from victim.checkpoint import header_for, load, save
from victim.dataset import Dataset


def lesson_digest(lesson: Lesson, architecture: str, seed: int) -> str:
    """Identifies all that a supervised copycat depends on: images, targets and settings, as 64 hexadecimal digits."""
    told = {"architecture": architecture, "seed": seed, "varies": lesson.varies, "effort": lesson.effort}
    digest = hashlib.sha256(json.dumps(told, sort_keys=True).encode())
    for images, answers in lesson.answered().parts:
        # Hard targets and soft ones that happen to be one-hot are not learnt alike.
        digest.update(json.dumps([*images.shape, answers.classes, answers.scores is None]).encode())
        digest.update(np.ascontiguousarray(images).data)
        digest.update(np.ascontiguousarray(answers.targets()).data)
    return digest.hexdigest()


class KeepingTrainer(CopycatTrainer):
    """A `CopycatTrainer` that keeps what it trained, as checkpoints, and gives it again for an equal lesson.

    A semi-supervised copycat also learns from images that no lesson tells of, and is not kept.

    Args:
        directory: where checkpoints stand; made if need be.
        dataset: the victim's.
        workers: see `CopycatTrainer`.
        progress: where to show training.
    """

    def __init__(
        self, directory: Path, dataset: Dataset, workers: int | None = None, progress: Progress = SILENT
    ) -> None:
        super().__init__(workers, progress)
        self.directory, self.dataset = directory, dataset

    def submit(self, lesson: Lesson, architecture: str, seed: int, learner: str = "supervised") -> Future[Copycat]:
        """See `CopycatTrainer.submit`.

        Raises:
            UsageError: on the future, where the directory cannot be written.
        """
        if learner != "supervised":
            return super().submit(lesson, architecture, seed, learner)
        path = self.directory / f"{lesson_digest(lesson, architecture, seed)}.safetensors"
        return self._pool.submit(self._had, path, lesson, architecture, seed)

    def _had(self, path: Path, lesson: Lesson, architecture: str, seed: int) -> Copycat:
        if path.is_file():
            try:
                kept = load(path)
                return Copycat(kept.network, kept.header.seconds_train)
            except ArtifactError as error:
                self._progress.say(f"{error.message}: trained anew")
        copycat = train_copycat(lesson, architecture, seed, progress=self._progress)
        save(copycat.network, header_for(self.dataset, architecture, copycat.seconds), path)
        return copycat
