"""When do strange queries become an alarm? A sequential test whose false alarms are calibrated on real patients."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from foundation.errors import DataError, UsageError


@dataclass(frozen=True)
class CalibrationSettings:
    """What the alarm is calibrated to.

    Attributes:
        rate: share of harmless sessions that may raise an alarm, in (0, 1).
        horizon: queries of such a session.
        power: exponent of the alternative; see `SequentialTest`. In (0, 1); the smaller, the stranger a thief's queries
            are thought to be.
        sessions: harmless sessions that are drawn.
    """

    rate: float = 0.01
    horizon: int = 1_000
    power: float = 0.2
    sessions: int = 2_000

    def __post_init__(self) -> None:
        if not (0 < self.rate < 1 and 0 < self.power < 1) or self.horizon < 1 or self.rate * self.sessions < 1:
            raise UsageError(
                f"nothing can be calibrated to {self}",
                hint="rate and power between 0 and 1, horizon at least 1, rate times sessions at least 1",
            )


@dataclass(frozen=True)
class SequentialTest:
    """CUSUM over how strange each query is (Page 1954, "Continuous Inspection Schemes").

    A score's p-value is its rank among harmless scores, so no shape of the scores is assumed. Harmless p-values are
    uniform; a thief's are taken to have the density power x p^(power - 1), and their log-likelihood ratio is what is
    summed. The sum starts anew where it falls below 0, so a thief who comes late is not excused by those before.

    Attributes:
        reference: float64 [N], ascending: scores of harmless images.
        power: see above.
        threshold: the alarm is raised where the sum exceeds it.
    """

    reference: NDArray[np.float64]
    power: float
    threshold: float

    def evidence(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """Log-likelihood ratios of scores, both float64 [N]."""
        return _evidence(self.reference, scores, self.power)

    @property
    def least(self) -> int:
        """Queries that an alarm takes, if each is stranger than every harmless one; 0: no alarm can be raised."""
        most = float(self.evidence(np.array([np.inf]))[0])
        return 0 if most <= 0 else math.floor(self.threshold / most) + 1


def calibrate(
    scores: NDArray[np.float64],
    patients: NDArray[np.int64],
    generator: np.random.Generator,
    settings: CalibrationSettings | None = None,
) -> SequentialTest:
    """Choose the threshold so that no more than a share `rate` of harmless sessions raises an alarm.

    Sessions are drawn patient by patient with replacement, from the patients that a bootstrap sample of them left out,
    and ranked among the scores of that sample: so the threshold knows how little so many patients tell.

    Args:
        scores: float64 [N] of images that the scores were not fitted to.
        patients: int64 [N], whose image each is.
        generator: the source of chance.
        settings: None for the defaults.

    Raises:
        DataError: fewer than 20 patients, or a score that is no number.
    """
    settings = settings or CalibrationSettings()
    groups = [scores[patients == patient] for patient in np.unique(patients)]
    if len(groups) < 20 or np.isnan(scores).any():
        raise DataError(f"a false-alarm rate is calibrated on 20 patients or more with scores, not {len(groups)}")
    highest = [_highest(groups, generator, settings) for _ in range(settings.sessions)]
    threshold = float(np.quantile(highest, 1 - settings.rate, method="higher"))
    return SequentialTest(np.sort(scores), settings.power, threshold)


def _highest(groups: list[NDArray[np.float64]], generator: np.random.Generator, settings: CalibrationSettings) -> float:
    """The highest sum in one harmless session."""
    sample = generator.integers(0, len(groups), len(groups))
    left = np.setdiff1d(np.arange(len(groups)), sample)
    if not len(left):
        return 0.0
    reference = np.sort(np.concatenate([groups[number] for number in sample]))
    # Every patient has an image, so as many patients as queries are enough.
    drawn = generator.choice(left, settings.horizon)
    session = np.concatenate([groups[number] for number in drawn])[: settings.horizon]
    return float(sums(_evidence(reference, session, settings.power), 0.0).max())


def sums(evidence: NDArray[np.float64], start: float) -> NDArray[np.float64]:
    """CUSUM: S[t] = max(0, S[t - 1] + evidence[t]) with S[-1] = `start` >= 0; float64 [N]."""
    walked = start + np.cumsum(evidence)
    return walked - np.minimum(np.minimum.accumulate(walked), 0.0) if len(walked) else walked


def _evidence(reference: NDArray[np.float64], scores: NDArray[np.float64], power: float) -> NDArray[np.float64]:
    above = len(reference) - np.searchsorted(reference, scores, side="left")
    return np.asarray(math.log(power) + (power - 1) * np.log((1 + above) / (1 + len(reference))))
