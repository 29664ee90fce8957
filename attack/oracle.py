"""The black box as the thief sees it: images in, answers out, nothing else."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from foundation.answers import AnswerPolicy, Answers


class Oracle(Protocol):
    """A victim that answers queries. `edge.deployed.DeployedModel` is one."""

    @property
    def identity(self) -> str:
        """Who answers: SHA-256 of the model. What is not interchangeable has not the same identity."""

    @property
    def policy(self) -> AnswerPolicy:
        """What an answer carries."""

    @property
    def classes(self) -> int:
        """How many classes the victim knows."""

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width, channels of the images it takes."""

    def query(self, images: NDArray[np.uint8]) -> Answers:
        """Answer uint8 images [N, H, W, C], N >= 1, in order.

        Raises:
            DataError: images of another shape or dtype.
            DeviceError: nothing was answered.
        """
