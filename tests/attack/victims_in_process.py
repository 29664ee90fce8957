"""Victims that answer in the test's own process: a known function under a real answer policy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from foundation.answers import AnswerPolicy, Answers
from foundation.errors import DeviceError

Logits = Callable[[NDArray[np.uint8]], NDArray[np.float32]]


def numbered_images(count: int, first: int = 0, shape: tuple[int, int, int] = (16, 16, 1)) -> NDArray[np.uint8]:
    """Noise, uint8 [count, *shape]; image k is the same whatever it is asked with, and no two are equal."""
    images = [np.random.default_rng([77, first + k]).integers(0, 256, shape, np.uint8) for k in range(count)]
    return np.stack(images) if images else np.empty((0, *shape), np.uint8)


def fixed_logits(classes: int) -> Logits:
    """Logits that differ from image to image, a fixed function of the pixels."""

    def logits(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        flat = images.reshape(len(images), -1).astype(np.float64)
        weights = np.random.default_rng(5).normal(size=(flat.shape[1], classes))
        return np.asarray((flat - 128) @ weights / 400, np.float32)

    return logits


def brighter_half(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Two classes: which half of the image is brighter, the upper (0) or the lower (1)."""
    half = images.shape[1] // 2
    gap = images[:, half:].mean(axis=(1, 2, 3)) - images[:, :half].mean(axis=(1, 2, 3))
    return np.stack([-gap, gap], axis=1).astype(np.float32) / 8


def half_images(count: int, seed: int) -> NDArray[np.uint8]:
    """Noise of which one half is brighter, uint8 [count, 16, 16, 1]."""
    rng = np.random.default_rng(seed)
    images = rng.normal(110, 20, (count, 16, 16, 1))
    upper = rng.random(count) < 0.5
    lift = rng.uniform(20, 80, (count, 1, 1, 1))
    images[upper, :8] += lift[upper]
    images[~upper, 8:] += lift[~upper]
    return np.clip(images, 0, 255).astype(np.uint8)


@dataclass
class KnownVictim:
    """An oracle; keeps what it was asked, and fails when told.

    Attributes:
        logits: of images.
        classes: how many.
        policy: of its answers.
        fails_at: number of the call, from 1, from which on the device is gone; None for never.
        asked: image batches that it answered.
    """

    logits: Logits
    classes: int = 2
    policy: AnswerPolicy = field(default_factory=lambda: AnswerPolicy("label"))
    image_shape: tuple[int, int, int] = (16, 16, 1)
    identity: str = "ab" * 32
    fails_at: int | None = None
    calls: int = 0
    asked: list[NDArray[np.uint8]] = field(default_factory=list)

    def query(self, images: NDArray[np.uint8]) -> Answers:
        """See `attack.oracle.Oracle`."""
        self.calls += 1
        if self.fails_at is not None and self.calls >= self.fails_at:
            raise DeviceError("the cable was pulled", device="bench")
        self.asked.append(images)
        return answer(self.policy, self.logits(images), images)

    @property
    def count(self) -> int:
        """Images answered, repeated ones too."""
        return sum(map(len, self.asked))


def answer(policy: AnswerPolicy, logits: NDArray[np.float32], images: NDArray[np.uint8] | None = None) -> Answers:
    """Logits [N, classes] of images under a policy; every inference took a different number of nanoseconds."""
    labels, scores = policy.apply(logits, images)
    return Answers(policy, logits.shape[1], labels, scores, np.arange(1000, 1000 + len(logits), dtype=np.uint32))
