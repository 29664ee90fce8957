"""Can the thief trust the copycat's probabilities as far as the victim's? Calibration of both, and the gap.

Under a policy that lets out labels only, a thief has no probability of the victim's at all: whatever the copycat's are
worth is gained.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from foundation.errors import DataError

BINS = 15
# A probability that a runtime rounded to 0 would cost an infinite loss.
_LEAST = 1e-12
_SUM_TOLERANCE = 1e-3


@dataclass(frozen=True)
class Calibration:
    """Probabilities against the truth, image by image; the measures are derived.

    Attributes:
        confidence: float64 [N] in [0, 1], the best class's probability.
        right: bool [N], whether the best class is the true one.
        squared_error: float64 [N] in [0, 2], over all classes, against the one-hot truth.
        log_loss: float64 [N] in nats, - ln of the true class's probability, which counts as 1e-12 at least.
    """

    confidence: NDArray[np.float64]
    right: NDArray[np.bool_]
    squared_error: NDArray[np.float64]
    log_loss: NDArray[np.float64]

    @property
    def ece(self) -> float:
        """Expected calibration error, in [0, 1]; see `expected_calibration_error`."""
        return expected_calibration_error(self.confidence, self.right)

    @property
    def brier(self) -> float:
        """Brier score, in [0, 2] (Brier 1950, eq. 2: summed over the classes)."""
        return float(self.squared_error.mean())

    @property
    def nll(self) -> float:
        """Negative log-likelihood per image, in nats."""
        return float(self.log_loss.mean())


@dataclass(frozen=True)
class CalibrationGap:
    """Victim and copycat on the same images. Gaps are the copycat's minus the victim's: above 0 the copy is worse.

    Attributes:
        victim: calibration of its probabilities.
        copycat: the same.
    """

    victim: Calibration
    copycat: Calibration

    @property
    def ece(self) -> float:
        """Gap in expected calibration error."""
        return self.copycat.ece - self.victim.ece

    @property
    def brier(self) -> float:
        """Gap in Brier score."""
        return self.copycat.brier - self.victim.brier

    @property
    def nll(self) -> float:
        """Gap in negative log-likelihood, in nats."""
        return self.copycat.nll - self.victim.nll

    @property
    def confidence_difference(self) -> float:
        """Mean absolute difference of the best class's probability, image by image, in [0, 1]."""
        return float(np.abs(self.copycat.confidence - self.victim.confidence).mean())


def measure_calibration(
    copycat: NDArray[np.float32], victim: NDArray[np.float32], truth: NDArray[np.int64]
) -> CalibrationGap:
    """Compare probabilities on images that were never queried.

    Args:
        copycat: float32 [N, classes], rows sum to 1: the softmax of its logits.
        victim: the same; from its float network, or what the device answers under the policy `scores`
            (`Answers.scores`). They are not the same victim: an int8 file rounds.
        truth: int64 [N], the true classes.

    Raises:
        DataError: no images, not one row each, or rows that are no probabilities.
    """
    if copycat.shape != victim.shape:
        raise DataError(f"probabilities of {copycat.shape} and {victim.shape} cannot be compared")
    return CalibrationGap(victim=calibrate(victim, truth), copycat=calibrate(copycat, truth))


def calibrate(probabilities: NDArray[np.float32], truth: NDArray[np.int64]) -> Calibration:
    """Hold probabilities [N, classes] against the true classes [N].

    Raises:
        DataError: no images, not one row each, or rows that are no probabilities.
    """
    if probabilities.ndim != 2 or not len(truth) or len(probabilities) != len(truth):
        raise DataError(f"probabilities {probabilities.shape} for {len(truth)} images: not one row each")
    p = probabilities.astype(np.float64)
    if not (np.isfinite(p).all() and (p >= 0).all() and np.allclose(p.sum(axis=1), 1.0, atol=_SUM_TOLERANCE)):
        raise DataError("rows that are no probabilities", hint="give the softmax of logits, not the logits")
    if truth.min() < 0 or truth.max() >= p.shape[1]:
        raise DataError(f"a true class is not among the {p.shape[1]} that have a probability")
    of_truth = p[np.arange(len(p)), truth]
    return Calibration(
        confidence=p.max(axis=1),
        right=p.argmax(axis=1) == truth,
        squared_error=(p**2).sum(axis=1) - 2 * of_truth + 1,
        log_loss=-np.log(np.maximum(of_truth, _LEAST)),
    )


def expected_calibration_error(confidence: NDArray[np.float64], right: NDArray[np.bool_], bins: int = BINS) -> float:
    """Mean distance of accuracy from confidence over bins of equal width, weighted by their images (Guo et al. 2017,
    "On Calibration of Modern Neural Networks", eq. 3).

    It has a bias upwards that grows with fewer images per bin: compare only measurements of equally many.

    Args:
        confidence: float64 [N], N >= 1, in [0, 1].
        right: bool [N].
        bins: the m-th holds confidences in ((m - 1) / bins, m / bins].
    """
    inner = np.linspace(0.0, 1.0, bins + 1)[1:-1]
    of_image = np.digitize(confidence, inner, right=True)
    # Sum of right - confidence in a bin = its size times (accuracy - mean confidence).
    surplus = np.bincount(of_image, weights=right - confidence, minlength=bins)
    return float(np.abs(surplus).sum() / len(confidence))
