"""What was measured of answer policies, raw samples included; plain data for tables and benchmarks."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from defense.policies.utility import Utility

Learns = Literal["labels", "scores"]


@dataclass(frozen=True)
class Thief:
    """One copycat against the undefended victim on the test split, which nobody asked about.

    Attributes:
        learns: the whole answers, or the best class of each: both thieves of a seed learn from the same paid answers.
        seed: of the thief.
        queries: paid for.
        refused: how many of them were not answered.
        accuracy: top-1 against the truth.
        fidelity: share of images on which it gives the victim's own class.
        correct_fidelity: the same where the victim is right.
        relative_accuracy: its accuracy over the victim's.
        macro_f1_ratio: its macro F1 over the victim's.
        seconds_train: wall clock.
        predictions: its class for each test image: the raw sample.
    """

    learns: Learns
    seed: int
    queries: int
    refused: int
    accuracy: float
    fidelity: float
    correct_fidelity: float
    relative_accuracy: float
    macro_f1_ratio: float
    seconds_train: float
    predictions: list[int]


@dataclass(frozen=True)
class PolicyResult:
    """One way to answer.

    Attributes:
        policy: in words.
        applied: on the device, or on the host's side of it (then what leaves the device is undefended).
        keeps_top1: whether the best class stays by construction, wherever there is an answer.
        utility: its cost, on the test split.
        thieves: what is left to steal.
    """

    policy: str
    applied: Literal["device", "host"]
    keeps_top1: bool
    utility: Utility
    thieves: list[Thief]


@dataclass(frozen=True)
class PolicyReport:
    """Every policy on one deployed model.

    Attributes:
        model: its sha256.
        artifact: its name.
        device: the device's spec, without a serial number.
        device_kind: physical, emulated or embedded.
        engine: what answered.
        data: name of the data set.
        pool: of the thieves' images.
        strategy: how they chose among them.
        thief: architecture of the copycats.
        budget: queries of each thief.
        effort: how long they learnt.
        victim_accuracy: of the undefended answers, on the test split.
        constant_fidelity: what a thief gets that always names the victim's most frequent class.
        victim_predictions: the undefended class of each test image.
        truth: the true class of each.
        results: in the order asked for.
    """

    model: str
    artifact: str
    device: str
    device_kind: str
    engine: str
    data: str
    pool: str
    strategy: str
    thief: str
    budget: int
    effort: float
    victim_accuracy: float
    constant_fidelity: float
    victim_predictions: list[int]
    truth: list[int]
    results: list[PolicyResult]

    def document(self) -> dict[str, Any]:
        """As one JSON document."""
        return asdict(self)
