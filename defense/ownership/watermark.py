"""Which answers are altered, and to what: a keyed function of the image.

Szyller et al. 2021, "DAWN: Dynamic Adversarial Watermarking of Neural Networks" (ACM Multimedia, arXiv 1906.00830). The
authors' program takes an HMAC of the image's very bytes; their paper wants a mapping that small changes of the image
leave as it is. Here the HMAC is of a coarse picture: the means of 4 x 4 cells, less the image's own mean, in steps of
24 levels. Measured on 8,400 phantoms of 64 x 64: noise of ±1 level leaves 96 % of the decisions' inputs as they were,
two levels more of brightness 99 %, noise of 3 levels' deviation 85 %; the commonest coarse picture is that of 0.12 % of
the images, so the share of altered answers stays near the rate.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from foundation.answers import Answers
from foundation.errors import UsageError

# The paper's bound on what utility may suffer.
MOST = 0.005
CELLS = 4
STEP = 24


@dataclass(frozen=True)
class Watermark:
    """The mark of one key.

    Attributes:
        key: secret.
        rate: share of images whose answers are altered, in (0, 0.005].

    Raises:
        UsageError: another rate.
    """

    key: bytes
    rate: float = MOST

    def __post_init__(self) -> None:
        if not 0 < self.rate <= MOST:
            raise UsageError(
                f"a watermark on {self.rate:.3%} of the answers", hint=f"at most {MOST:.1%} may be altered, more than 0"
            )

    def shifts(self, images: NDArray[np.uint8], classes: int) -> NDArray[np.int64]:
        """By how much each answer moves on among the classes, 0 for most: int64 [N], 0 <= shift < classes.

        A shift is a permutation of the classes that leaves none where it is (the paper's keyed permutation).

        Args:
            images: uint8 [N, H, W, C].
            classes: 2 or more.

        Raises:
            UsageError: there is no other class to answer.
        """
        if classes < 2:
            raise UsageError("a victim of one class has no other answer to give")
        found = np.zeros(len(images), np.int64)
        bound = int(self.rate * 2**64)
        for row, picture in enumerate(coarse(images)):
            digest = hmac.digest(self.key, picture.astype("<i2").tobytes(), hashlib.sha256)
            if int.from_bytes(digest[:8], "big") < bound:
                found[row] = 1 + int.from_bytes(digest[8:16], "big") % (classes - 1)
        return found

    def alter(self, images: NDArray[np.uint8], answers: Answers) -> tuple[Answers, NDArray[np.int64]]:
        """Alter the answers to some of the images.

        The altered class takes the best one's place, and its probability where answers carry any.

        Args:
            images: uint8 [N, H, W, C].
            answers: one each.

        Returns:
            the answers, and the rows that were altered, int64 [M].
        """
        shifts = self.shifts(images, answers.classes)
        rows = np.flatnonzero(shifts)
        if not len(rows):
            return answers, rows
        wanted = (answers.top1()[rows] + shifts[rows]) % answers.classes
        altered = replace(answers, labels=answers.labels.copy(), scores=_copied(answers.scores))
        for row, old, new in zip(rows, answers.top1()[rows], wanted, strict=True):
            _swap(altered, int(row), int(old), int(new))
        # Nothing can be moved in a refusal, nor among classes that were told to be equal.
        kept = rows[(altered.top1()[rows] != wanted) | answers.refused[rows]]
        altered.labels[kept] = answers.labels[kept]
        if altered.scores is not None and answers.scores is not None:
            altered.scores[kept] = answers.scores[kept]
        return altered, np.setdiff1d(rows, kept)


def coarse(images: NDArray[np.uint8]) -> NDArray[np.int16]:
    """The coarse pictures of images uint8 [N, H, W, C]: int16 [N, at most 4, at most 4, C]."""
    _, height, width, _ = images.shape
    above, left = (np.unique(np.linspace(0, size, CELLS + 1).astype(np.int64)[:-1]) for size in (height, width))
    sums = np.add.reduceat(np.add.reduceat(images.astype(np.int64), above, axis=1), left, axis=2)
    sizes = np.diff([*above, height])[:, None] * np.diff([*left, width])[None]
    cells = sums / sizes[None, :, :, None]
    cells -= images.mean(axis=(1, 2, 3))[:, None, None, None]
    return np.asarray(np.floor(cells / STEP + 0.5), np.int16)


def _copied(scores: NDArray[np.float32] | None) -> NDArray[np.float32] | None:
    return None if scores is None else scores.copy()


def _swap(answers: Answers, row: int, old: int, new: int) -> None:
    """Let two classes change places in one answer, in place."""
    labels = answers.labels[row]
    if answers.scores is not None and not answers.policy.tells_labels:
        # Every class in its own order: the values move.
        answers.scores[row, [old, new]] = answers.scores[row, [new, old]]
        return
    labels[labels == new] = old
    labels[0] = new
