"""What a thief has paid for: images and their answers, in the order asked."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from attack.spool import ImageSpool
from foundation.answers import Answers, concatenate

Labelled = tuple[NDArray[np.uint8], Answers]


class _Part:
    """Of one pool: the images on disk, where a million of them want no memory, the answers in memory."""

    def __init__(self, spool: ImageSpool) -> None:
        self.spool = spool
        self._answers: list[Answers] = []

    def add(self, images: NDArray[np.uint8], answers: Answers) -> None:
        self.spool.append(images)
        self._answers.append(answers)

    def labelled(self) -> Labelled:
        # Joined once, however often it is looked at.
        self._answers = [concatenate(self._answers)]
        return self.spool.images, self._answers[0]


class Paid:
    """Everything a thief has paid for, by part of its pool.

    Args:
        directory: where the images are spooled; None: where temporary files go.
    """

    def __init__(self, directory: Path | None = None) -> None:
        self._directory = directory or Path(tempfile.gettempdir())
        self._parts: dict[int, _Part] = {}
        self._open = ExitStack()

    def add(self, images: NDArray[np.uint8], answers: Answers, part: int = 0) -> None:
        """Take a batch, uint8 [N, H, W, C] with one answer each.

        Raises:
            DataError: the disk is full.
        """
        if not len(images):
            return
        if part not in self._parts:
            self._parts[part] = _Part(self._open.enter_context(ImageSpool(self._directory)))
        self._parts[part].add(images, answers)

    def part(self, number: int) -> Labelled | None:
        """Images uint8 [N, H, W, C] of one part, and their answers; None: nothing yet."""
        return self._parts[number].labelled() if number in self._parts else None

    def parts(self) -> tuple[Labelled, ...]:
        """Every part, in the order in which they are learnt."""
        return tuple(self._parts[number].labelled() for number in sorted(self._parts))

    def close(self) -> None:
        """Let the images go; what was learnt from stays readable as long as it is held."""
        self._open.close()

    def __enter__(self) -> Paid:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def examples(parts: tuple[Labelled, ...], per_answer: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Up to `per_answer` images of each answer, evenly over the time of asking, to look at.

    Returns:
        images uint8 [M, H, W, C] and the class that the victim answered, int64 [M].
    """
    images: list[NDArray[np.uint8]] = []
    named: list[NDArray[np.int64]] = []
    for asked, answers in parts:
        best = np.where(answers.refused, -1, answers.top1())
        for label in np.unique(best[best >= 0]):
            rows = np.flatnonzero(best == label)
            rows = rows[np.linspace(0, len(rows) - 1, min(per_answer, len(rows))).astype(np.int64)]
            images.append(asked[rows])
            named.append(best[rows])
    if not images:
        return np.empty((0, 1, 1, 1), np.uint8), np.empty(0, np.int64)
    return np.concatenate(images), np.concatenate(named)
