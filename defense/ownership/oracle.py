"""A live session whose answers carry the watermark."""

from __future__ import annotations

import threading

import numpy as np
from numpy.typing import NDArray

from attack.hashes import image_hashes
from attack.oracle import Oracle, StandsBefore
from defense.ownership.key import fingerprint
from defense.ownership.registry import WatermarkSet
from defense.ownership.watermark import Watermark
from foundation.answers import Answers


class WatermarkedOracle(StandsBefore):
    """Stands before an oracle, and is one; alters a few answers and remembers which.

    On the host, where the owner serves the answers: on a phone the key would be in the thief's hand.

    Args:
        oracle: the victim.
        watermark: of the owner's key.
    """

    def __init__(self, oracle: Oracle, watermark: Watermark) -> None:
        super().__init__(oracle)
        self.watermark = watermark
        self.answered = 0
        """Images so far, repeated ones too."""
        self._altered: dict[bytes, tuple[NDArray[np.uint8], int, int]] = {}
        self._lock = threading.Lock()

    @property
    def identity(self) -> str:
        """Not the victim's own: a ledger of marked answers must not be mixed with one of true answers."""
        return f"{self.oracle.identity} watermark {fingerprint(self.watermark.key)}"

    def query(self, images: NDArray[np.uint8]) -> Answers:
        """See `attack.oracle.Oracle`."""
        true = self.oracle.query(images)
        answers, rows = self.watermark.alter(images, true)
        told, meant = answers.top1()[rows].tolist(), true.top1()[rows].tolist()
        with self._lock:
            self.answered += len(images)
            for row, digest, new, old in zip(rows, image_hashes(images[rows]), told, meant, strict=True):
                self._altered.setdefault(digest, (images[row].copy(), new, old))
        return answers

    def registered(self) -> WatermarkSet:
        """What was altered so far; the owner keeps it (`WatermarkSet.save`)."""
        with self._lock:
            kept = list(self._altered.values())
        images = np.stack([image for image, _, _ in kept]) if kept else np.empty((0, *self.image_shape), np.uint8)
        return WatermarkSet(
            images,
            np.array([new for _, new, _ in kept], np.int64),
            np.array([old for _, _, old in kept], np.int64),
            self.classes,
            self.watermark.rate,
            self.oracle.identity,
            fingerprint(self.watermark.key),
        )
