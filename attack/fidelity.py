"""How good a copy is: measured on test images that the thief never asked about (Jagielski et al. 2020, section 3)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import f1_score

from foundation.errors import DataError


@dataclass(frozen=True)
class Fidelity:
    """A thief against its victim. All in [0, 1] but the two ratios.

    Attributes:
        accuracy: thief's top-1 against the true labels.
        fidelity: share of images on which thief and victim give the same class.
        correct_fidelity: the same, over the images on which the victim is right.
        relative_accuracy: thief's accuracy over the victim's.
        macro_f1_ratio: thief's macro-averaged F1 over the victim's.
        agrees: bool [N], where they give the same class; the raw sample behind `fidelity`.
    """

    accuracy: float
    fidelity: float
    correct_fidelity: float
    relative_accuracy: float
    macro_f1_ratio: float
    agrees: NDArray[np.bool_]


def measure_fidelity(thief: NDArray[np.int64], victim: NDArray[np.int64], truth: NDArray[np.int64]) -> Fidelity:
    """Compare predictions on one test split.

    Args:
        thief: int64 [N], the copycat's classes.
        victim: int64 [N], the classes that the victim answered, on the device.
        truth: int64 [N], the true classes.

    Raises:
        DataError: no images, or not one prediction each.
    """
    if not len(truth) or not len(thief) == len(victim) == len(truth):
        raise DataError(f"{len(thief)} thief's, {len(victim)} victim's and {len(truth)} true classes: not one each")
    agrees, right = thief == victim, victim == truth
    thief_accuracy, victim_accuracy = float((thief == truth).mean()), float(right.mean())
    return Fidelity(
        accuracy=thief_accuracy,
        fidelity=float(agrees.mean()),
        correct_fidelity=float(agrees[right].mean()) if right.any() else 0.0,
        relative_accuracy=_ratio(thief_accuracy, victim_accuracy),
        macro_f1_ratio=_ratio(_macro_f1(truth, thief), _macro_f1(truth, victim)),
        agrees=agrees,
    )


def _macro_f1(truth: NDArray[np.int64], predicted: NDArray[np.int64]) -> float:
    return float(f1_score(truth, predicted, average="macro", labels=np.unique(truth), zero_division=0))


def _ratio(part: float, whole: float) -> float:
    """A victim that is never right cannot be outdone; its ratio is 0, not an error."""
    return part / whole if whole > 0 else 0.0
