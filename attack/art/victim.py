"""Any of ART's classifiers as a victim of ours."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from foundation.answers import AnswerPolicy, Answers
from foundation.errors import UsageError

BATCH = 256


def range_of(classifier: Any) -> tuple[float, float]:
    """What stands for pixels 0 and 255 in a classifier's inputs: its `clip_values`, or 0 and 1 where it has none.

    Raises:
        UsageError: they differ from pixel to pixel.
    """
    if classifier.clip_values is None:
        return 0.0, 1.0
    low, high = (np.unique(value) for value in classifier.clip_values)
    if len(low) != 1 or len(high) != 1:
        raise UsageError("clip_values differ from pixel to pixel; an image has one range", hint="give two numbers")
    return float(low[0]), float(high[0])


class ClassifierOracle:
    """A classifier of ART's as an oracle that answers its top-1 class.

    Attributes:
        identity, policy, classes, image_shape: see `attack.oracle.Oracle`. A classifier in memory has no file whose
            SHA-256 would tell it from others: its identity is good for one ledger that is thrown away.

    Raises:
        UsageError: it takes no images.
    """

    def __init__(self, classifier: Any) -> None:
        shape = tuple(classifier.input_shape)
        if len(shape) != 3 or not hasattr(classifier, "channels_first"):
            raise UsageError(f"{type(classifier).__name__} takes {shape}, which is no image")
        self.identity, self.policy = type(classifier).__name__, AnswerPolicy("label")
        self.classes = int(classifier.nb_classes)
        self.image_shape = (shape[1], shape[2], shape[0]) if classifier.channels_first else shape
        self._classifier, self._range = classifier, range_of(classifier)

    def query(self, images: NDArray[np.uint8]) -> Answers:
        """See `attack.oracle.Oracle`. Nobody measured an inference alone: `device_ns` is 0."""
        low, high = self._range
        x = images.astype(np.float32) * ((high - low) / 255) + np.float32(low)
        if self._classifier.channels_first:
            x = np.ascontiguousarray(x.transpose(0, 3, 1, 2))
        labels = self._classifier.predict(x, batch_size=BATCH).argmax(axis=1).astype(np.uint16)[:, None]
        return Answers(self.policy, self.classes, labels, None, np.zeros(len(images), np.uint32))
