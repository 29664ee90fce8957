"""What an answer policy costs an honest user: the defended answers beside the victim's own, on labelled images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from attack.gains.calibration import Calibration, calibrate
from foundation.answers import Answers
from foundation.errors import DataError

# In `predictions`, where the device refused.
REFUSED = -1


@dataclass(frozen=True)
class Utility:
    """A policy's answers against the same model's undefended scores. Shares are in [0, 1].

    Attributes:
        images: how many were asked.
        refused: share of images that were not answered.
        accuracy: share of all images whose best class is the true one; a refusal is not.
        accuracy_answered: the same over the images that were answered; None if there is none.
        top1_changed: share of the answered images whose best class is not the victim's own.
        ece: expected calibration error over the answered images, by their probabilities as a reader takes them
            (`Answers.targets`); None under `label`, which tells none.
        brier: Brier score, in [0, 2], of the same.
        probability_change: mean over answered images and classes of |defended - undefended| probability; None under
            `label`. Of what is told (a row that was rounded stays as told), but of the softmax under `logits`, and of
            `Answers.targets` under `topk`.
        predictions: the best class of each image, `REFUSED` where there is none: the raw sample behind the shares.
    """

    images: int
    refused: float
    accuracy: float
    accuracy_answered: float | None
    top1_changed: float
    ece: float | None
    brier: float | None
    probability_change: float | None
    predictions: list[int]


def measure_utility(defended: Answers, own: Answers, truth: NDArray[np.int64]) -> Utility:
    """Compare answers to the same images, in the same order.

    Args:
        defended: under the policy in question.
        own: the same model's under `scores`.
        truth: int64 [N], the true classes.

    Raises:
        DataError: no images, not one answer each, or `own` are no scores.
    """
    if own.policy.kind != "scores" or own.scores is None:
        raise DataError(f"answers under {own.policy} where the victim's own scores are meant")
    if not len(truth) or not len(defended) == len(own) == len(truth):
        raise DataError(f"{len(defended)} defended, {len(own)} own answers and {len(truth)} classes: not one each")
    told = ~defended.refused
    named = defended.top1()
    right = told & (named == truth)
    calibration = _calibration(defended.select(told), truth[told])
    return Utility(
        images=len(truth),
        refused=float(1 - told.mean()),
        accuracy=float(right.mean()),
        accuracy_answered=float(right[told].mean()) if told.any() else None,
        top1_changed=float((named != own.top1())[told].mean()) if told.any() else 0.0,
        ece=None if calibration is None else calibration.ece,
        brier=None if calibration is None else calibration.brier,
        probability_change=_change(defended.select(told), own.scores[told]),
        predictions=np.where(told, named, REFUSED).tolist(),
    )


def _calibration(answers: Answers, truth: NDArray[np.int64]) -> Calibration | None:
    return calibrate(answers.targets(), truth) if len(answers) and answers.policy.tells_scores else None


def _change(answers: Answers, own: NDArray[np.float32]) -> float | None:
    if not len(answers) or answers.scores is None:
        return None
    told = answers.targets() if answers.policy.kind in ("topk", "logits") else answers.scores
    return float(np.abs(told.astype(np.float64) - own).mean())
