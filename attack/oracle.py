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


class StandsBefore:
    """What stands before an oracle, and passes for it: subclasses answer in their own way.

    Args:
        oracle: the victim.
    """

    def __init__(self, oracle: Oracle) -> None:
        self.oracle = oracle

    @property
    def identity(self) -> str:
        """See `Oracle`. Whoever changes answers changes this too: a ledger must not mix them with true ones."""
        return self.oracle.identity

    @property
    def policy(self) -> AnswerPolicy:
        """See `Oracle`."""
        return self.oracle.policy

    @property
    def classes(self) -> int:
        """See `Oracle`."""
        return self.oracle.classes

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """See `Oracle`."""
        return self.oracle.image_shape
