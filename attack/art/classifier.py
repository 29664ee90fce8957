"""A device as an ART classifier, so that every black-box attack of ART runs on a phone."""

from __future__ import annotations

import numpy as np
from art.estimators.classification import BlackBoxClassifierNeuralNetwork
from numpy.typing import NDArray

from attack.oracle import Oracle
from foundation.errors import DataError


def as_pixels(
    x: NDArray[np.generic], shape: tuple[int, int, int], *, channels_first: bool, clip_values: tuple[float, float]
) -> NDArray[np.uint8]:
    """ART's inputs as what a device takes: whole pixel values.

    Args:
        x: floats [N, C, H, W] or [N, H, W, C], rounded to the nearest of 256 values between `clip_values`, what is
            outside cut off; uint8 are pixels already.
        shape: height, width, channels of the images.
        channels_first: whether x is [N, C, H, W].
        clip_values: what stands for pixels 0 and 255.

    Returns:
        uint8 [N, H, W, C].

    Raises:
        DataError: inputs of another shape, or not numbers.
    """
    expected = (shape[2], shape[0], shape[1]) if channels_first else shape
    if x.shape[1:] != expected:
        raise DataError(
            f"ART's inputs are {x.shape}, the victim takes {('N', *expected)}",
            hint="channels_first says whether channels come before or after height and width",
        )
    images = x.transpose(0, 2, 3, 1) if channels_first else x
    if images.dtype == np.uint8:
        return np.ascontiguousarray(images, np.uint8)
    low, high = clip_values
    scaled = (images.astype(np.float32) - low) * (255 / (high - low))
    if np.isnan(scaled).any():
        raise DataError("ART's inputs hold NaN, which has no pixel value")
    return np.ascontiguousarray(scaled.clip(0, 255).round().astype(np.uint8))


class DeviceClassifier(BlackBoxClassifierNeuralNetwork):  # type: ignore[misc]
    """An oracle that ART takes for one of its classifiers; it predicts and cannot be trained.

    A prediction is a row of probabilities as far as the answer policy lets them out (see
    `foundation.answers.Answers.targets`); under `label` a one-hot row, which is all that decision-based attacks need
    (HopSkipJump, Boundary, GeoDA, CopycatCNN, KnockoffNets). Inputs are rounded to pixels first: a step smaller than
    half a pixel value changes nothing.

    Attributes:
        oracle: who answers.
        queries: images that ART asked about so far, repeated ones too. What a budget counts is
            `attack.art.budgeted.LedgerOracle.spent`.
    """

    def __init__(
        self, oracle: Oracle, *, channels_first: bool = True, clip_values: tuple[float, float] = (0.0, 1.0)
    ) -> None:
        """Show an oracle to ART.

        Args:
            oracle: a deployed model, or an `attack.art.budgeted.LedgerOracle` before it.
            channels_first: ART's inputs are float32 [N, C, H, W]; otherwise [N, H, W, C].
            clip_values: what stands for pixels 0 and 255 in ART's inputs.
        """
        height, width, channels = oracle.image_shape
        super().__init__(
            self._answer,
            input_shape=(channels, height, width) if channels_first else (height, width, channels),
            nb_classes=oracle.classes,
            channels_first=channels_first,
            clip_values=clip_values,
            preprocessing=None,
        )
        self.oracle = oracle
        self.queries = 0
        self._range = clip_values

    def predict(self, x: NDArray[np.generic], batch_size: int = 128, **kwargs: object) -> NDArray[np.float32]:
        """Ask about all of x at once: ART's batch sizes (1 by default in many attacks) would be a round trip each.

        Args:
            x: see `as_pixels`; `clip_values` are the classifier's.
            batch_size: not used; the device's channel makes its own.
            kwargs: ART's others, not used.

        Returns:
            float32 [N, classes], rows sum to 1.

        Raises:
            DataError: inputs of another shape, or not numbers.
            BudgetError: the oracle has a budget, and it is spent.
            DeviceError: nothing was answered.
        """
        predictions: NDArray[np.float32] = super().predict(x, batch_size=max(len(x), 1))
        return predictions

    def _answer(self, x: NDArray[np.generic]) -> NDArray[np.float32]:
        images = self.pixels(x)
        answers = self.oracle.query(images)
        self.queries += len(images)
        return answers.targets()

    def pixels(self, x: NDArray[np.generic]) -> NDArray[np.uint8]:
        """ART's inputs as this device sees them, uint8 [N, H, W, C]; see `as_pixels`."""
        return as_pixels(x, self.oracle.image_shape, channels_first=self.channels_first, clip_values=self._range)
