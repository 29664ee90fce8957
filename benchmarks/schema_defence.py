"""Records of defences: what they cost, and what attacks still get."""

from __future__ import annotations

import math
from typing import Literal

from benchmarks.schema_base import BaseRecord, Count, Model, Seconds, Share


class Inversion(Model):
    """What one attack read back, a number for each victim.

    Attributes:
        attack: a name of `defense.inversion.attacks.ATTACKS`.
        mse: of pixels in [0, 1].
        ssim: None where images are smaller than its window.
        seconds: of the attack, training included.
        notes: what else the attack tells of itself.
    """

    attack: str
    mse: list[float]
    ssim: list[float | None]
    seconds: Seconds
    notes: dict[str, float]

    @property
    def psnr(self) -> list[float]:
        """In dB, of a range of 1; 100 where an image is met exactly."""
        return [-10 * math.log10(max(error, 1e-10)) for error in self.mse]


class StepCost(Model):
    """What a step of split training took: medians over the steps, milliseconds and bytes.

    Attributes:
        processes: whether client and server were two processes; if not, nothing crossed a channel.
        steps: how many.
    """

    processes: bool
    steps: Count
    client_ms: float
    server_ms: float
    channel_ms: float
    bytes_up: float
    bytes_down: float


class SplitEvaluation(BaseRecord):
    """A split network: what it is worth to its clinic, and what is read of its patients.

    Attributes:
        dataset: its name.
        dataset_sha256: of its content.
        protection: of the client, by its name in `defense.protections`.
        depth: blocks that stay with the client.
        smashed: channels, height and width of what leaves the client for one image.
        seed: of the training.
        accuracy: see `defense.evaluation.Evaluation`.
        inversions: of the attacks that were tried.
        cost: None where nothing was recorded of the training.
        client_sha256: of the client's file.
    """

    kind: Literal["split_evaluation"] = "split_evaluation"
    dataset: str
    dataset_sha256: str
    protection: str
    depth: Count
    smashed: tuple[int, int, int]
    seed: Count
    accuracy: dict[str, dict[str, Share]]
    inversions: list[Inversion]
    cost: StepCost | None
    client_sha256: str
