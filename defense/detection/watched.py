"""A live session under a detector's eyes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from attack.oracle import Oracle, StandsBefore
from defense.detection.detector import Detector
from foundation.answers import Answers, concatenate
from foundation.errors import CheckFailed
from foundation.progress import SILENT, Progress

# Queries that are answered between two looks where an alarm ends the session.
PIECE = 256


class WatchedOracle(StandsBefore):
    """Stands before an oracle, and is one: a detector sees every query and every answer.

    Args:
        oracle: the victim.
        detector: has seen nothing yet, or the same client's earlier queries.
        blocks: an alarm ends the session: the answers of the piece in which it is raised are withheld and nothing is
            answered any more. False: the alarm is told and the session goes on.
        progress: where it is told.
    """

    def __init__(self, oracle: Oracle, detector: Detector, *, blocks: bool, progress: Progress = SILENT) -> None:
        super().__init__(oracle)
        self.detector, self.blocks, self.progress = detector, blocks, progress
        self.alarm: int | None = None
        """Number of the query at which the alarm was raised, from 0."""

    def query(self, images: NDArray[np.uint8]) -> Answers:
        """See `attack.oracle.Oracle`.

        Raises:
            CheckFailed: an alarm has ended the session.
        """
        if not self.blocks:
            return self._answer(images)
        return concatenate([self._answer(images[k : k + PIECE]) for k in range(0, max(len(images), 1), PIECE)])

    def _answer(self, images: NDArray[np.uint8]) -> Answers:
        self._refuse()
        answers = self.oracle.query(images)
        alarm = self.detector.observe(images, answers.top1())
        if alarm is not None and self.alarm is None:
            self.alarm = alarm
            self.progress.say(f"detector {self.detector.name} raises an alarm at query {alarm + 1}")
        self._refuse()
        return answers

    def _refuse(self) -> None:
        if self.blocks and self.alarm is not None:
            raise CheckFailed(
                f"detector {self.detector.name} ended the session at query {self.alarm + 1}: it looks like a theft",
                hint="a client who is harmless needs a new session, and the detector another calibration",
            )
