"""Do queries look like the patients that the victim was trained on? After SODA.

Atrey et al. 2023, "SODA: Protecting Proprietary Information in On-Device Machine Learning Models" (arXiv 2312.15036)
watch queries on the device for such as do not belong to the service's own data. Their text was not at hand but for the
abstract; what stands here is a reconstruction of the idea: how strange an image is, is its Mahalanobis distance in the
victim's own features (Lee et al. 2018; SODA trains an autoencoder), and a sequential test makes an alarm of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import nn

from defense.detection.detector import FalseAlarms
from defense.detection.features import layer_features
from defense.detection.gaussian import ClassGaussians
from defense.detection.sequential import CalibrationSettings, SequentialTest, calibrate, sums
from defense.detection.streams import patient_order
from victim.dataset import Split


@dataclass(frozen=True)
class SodaModel:
    """What the defender knows: harmless images, through the victim's eyes, and what is strange among them.

    Attributes:
        network: the victim's float network.
        gaussians: of its features on the training images.
        test: calibrated on images that it was not trained on.
    """

    network: nn.Module
    gaussians: ClassGaussians
    test: SequentialTest

    @classmethod
    def fit(
        cls,
        network: nn.Module,
        train: Split,
        harmless: Split,
        generator: np.random.Generator,
        settings: CalibrationSettings | None = None,
    ) -> SodaModel:
        """Learn from the training images, and calibrate on others.

        Args:
            network: the victim, in evaluation mode.
            train: its training images.
            harmless: images that it did not learn (the val split).
            generator: the source of chance.
            settings: of the alarm; None for the defaults.

        Raises:
            DataError: too few images or patients.
        """
        gaussians = ClassGaussians.fit(layer_features(network, train.images), train.labels)
        scores = gaussians.distances(layer_features(network, harmless.images))
        return cls(network, gaussians, calibrate(scores, harmless.patients, generator, settings))

    def scores(self, images: NDArray[np.uint8]) -> NDArray[np.float64]:
        """How strange images uint8 [N, H, W, C] are, float64 [N], 0 or more."""
        if not len(images):
            return np.empty(0)
        return self.gaussians.distances(layer_features(self.network, images))


class Soda:
    """One client's queries under the eyes of a `SodaModel`; a `defense.detection.detector.Detector`."""

    name = "soda"

    def __init__(self, model: SodaModel) -> None:
        self.model = model
        self.sum = 0.0
        """Evidence after the last query."""
        self._seen = 0
        self._alarm: int | None = None

    def observe(self, images: NDArray[np.uint8], labels: NDArray[np.int64]) -> int | None:
        """See `Detector.observe`; the labels are not looked at."""
        if self._alarm is not None or not len(images):
            return self._alarm
        walked = sums(self.model.test.evidence(self.model.scores(images)), self.sum)
        over = np.flatnonzero(walked > self.model.test.threshold)
        if len(over):
            self._alarm = self._seen + int(over[0])
        self.sum, self._seen = float(walked[-1]), self._seen + len(images)
        return self._alarm


def soda_false_alarms(model: SodaModel, split: Split, streams: int, generator: np.random.Generator) -> FalseAlarms:
    """`defense.detection.detector.false_alarms` over a split's patients in `streams` orders, each image scored once.

    Raises:
        DataError: there is no image.
    """
    evidence = model.test.evidence(model.scores(split.images))
    alarms: list[int | None] = []
    for _ in range(streams):
        walked = sums(evidence[patient_order(split.patients, generator)], 0.0)
        over = np.flatnonzero(walked > model.test.threshold)
        alarms.append(int(over[0]) + 1 if len(over) else None)
    return FalseAlarms(Soda.name, len(split), tuple(alarms))
