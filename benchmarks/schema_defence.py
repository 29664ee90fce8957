"""Records of defences: what they cost, and what attacks still get."""

from __future__ import annotations

import math
from typing import Literal, Optional

from pydantic import Field, JsonValue

from benchmarks.schema_base import BaseRecord, Count, DeviceKind, Interval, Model, Seconds, Share


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
        settings: of `defense.evaluation.EvaluationSettings`, but for the attacks' names; empty in old records.
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
    settings: dict[str, JsonValue] = Field(default_factory=dict)


class PolicyThief(Model):
    """One copycat against the undefended victim on the test split.

    Attributes:
        learns: the whole answers, or the best class of each.
        queries: paid for.
        refused: how many of them were not answered.
        predictions: its class for each test image: the raw sample.
    """

    learns: Literal["labels", "scores"]
    seed: Count
    queries: Count
    refused: Count
    accuracy: Share
    fidelity: Share
    relative_accuracy: float
    predictions: list[int]


class PolicyResult(Model):
    """One answer policy: what it costs an honest user, and what is left to steal; see `defense.policies.utility`.

    Attributes:
        applied: on the device, or on the host's side of it.
        keeps_top1: whether the best class stays by construction, wherever there is an answer.
        refused: share of test images that are not answered.
        accuracy: a refusal is not right.
        ece, brier, probability_change: None where no probability is told.
    """

    policy: str
    applied: Literal["device", "host"]
    keeps_top1: bool
    refused: Share
    accuracy: Share
    top1_changed: Share
    ece: float | None
    brier: float | None
    probability_change: float | None
    thieves: list[PolicyThief]


class PolicyComparison(BaseRecord):
    """Answer policies on one deployed model.

    Attributes:
        budget: queries of each thief.
        victim_accuracy: of the undefended answers.
        constant_fidelity: what a thief gets that always names the victim's most frequent class.
    """

    kind: Literal["policies"] = "policies"
    artifact: str
    device_kind: DeviceKind
    engine: str
    dataset: str
    pool: str
    strategy: str
    thief_architecture: str
    budget: Count
    effort: float
    victim_accuracy: Share
    constant_fidelity: Share
    results: list[PolicyResult]


class Alarm(Model):
    """What a detector said of a stream of queries.

    Attributes:
        observed: queries it has seen.
        alarm: queries until its alarm, from 1; None: there was none.
    """

    detector: str
    observed: Count
    alarm: Optional[Count]  # noqa: UP045 - read at run time, also on 3.10


class WatchedThief(Model):
    """A thief of a ledger, replayed under the detectors' eyes."""

    pool: str
    strategy: str
    seed: Count
    queries: Count
    alarms: list[Alarm]


class FalseAlarmRate(Model):
    """What a detector said of streams in which nobody steals.

    Attributes:
        length: queries of the longest stream.
        alarms: for each stream the queries until the alarm, or None.
        rate: share of the streams with an alarm, with its 95 % interval.
    """

    detector: str
    length: Count
    alarms: list[int | None]
    rate: Share
    interval: Interval


class DetectionReport(BaseRecord):
    """Detectors on every thief of a ledger, and on patients.

    Attributes:
        victim: sha256 of the model that answered.
        answers: the policy.
        calibration: what each detector's alarm was set to.
        left_out: thieves and detectors that nothing is said of, and why.
    """

    kind: Literal["detection"] = "detection"
    victim: str
    answers: str
    calibration: dict[str, dict[str, float]]
    thieves: list[WatchedThief]
    false_alarms: list[FalseAlarmRate]
    left_out: list[str]
