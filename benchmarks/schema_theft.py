"""The records of thefts: what a thief reached, and what it gains beyond labels."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from benchmarks.schema_base import BaseRecord, Count, DeviceKind, Interval, Model, Seconds, Share

SignedShare = Annotated[float, Field(ge=-1, le=1)]
Brier = Annotated[float, Field(ge=0, le=2)]


class OfThief(BaseRecord):
    """Which thief a record is of: one pool, strategy, learner, network, budget and seed against one artefact.

    Attributes:
        learner: how the thief learns from its answers: `supervised`, or `semi` (also from images it did not ask about).
        answers: the answer policy that the thief saw (`label`, `topk:K`, `scores`).
        thief_architecture: what the thief trained.
        budget: queries allowed.
    """

    artifact: str
    device_kind: DeviceKind
    pool: str
    strategy: str
    learner: str = "supervised"
    answers: str
    thief_architecture: str
    budget: Count
    seed: int


class Attack(OfThief):
    """What a thief reached.

    Attributes:
        learner: how the thief learns: `supervised`, or `semi` (also from images that it did not ask about).
        answers: the answer policy that the thief saw (`label`, `topk:K`, `scores`).
        thief_architecture: what the thief trained.
        budget: queries allowed.
        queries: queries that the ledger counts for this thief.
        device_queries: queries that went to the device in this run (the rest came from the ledger).
        reference: whom fidelity compares the thief with: the attacked artefact's answers on the device (the
            `accuracy_on_device` record of the same artefact), or the float victim's predictions.
        accuracy: the thief's, on the test split.
        fidelity: share of test images on which thief and reference agree.
        fidelity_ci: of this seed alone, over test images.
        correct_fidelity: share of agreement where the reference is right.
        relative_accuracy: the thief's accuracy over the reference's.
        macro_f1_ratio: the thief's macro-F1 over the reference's.
        seconds_query: wall time of the querying, host and device together.
        seconds_train: wall time of the thief's training.
        device_seconds: inference time that the device counted over this thief's queries.
        energy_joules: energy that the device spent on this thief's queries, as it told; None: it tells none.
        thief_predictions: the thief's class for each test image, in the split's order.
        answer_histogram: how often the victim answered each class to this thief's queries (top-1).
    """

    kind: Literal["attack"] = "attack"
    queries: Count
    device_queries: Count
    reference: Literal["device", "victim"] = "device"
    accuracy: Share
    fidelity: Share
    fidelity_ci: Interval
    correct_fidelity: Share
    relative_accuracy: Annotated[float, Field(ge=0)]
    macro_f1_ratio: Annotated[float, Field(ge=0)]
    seconds_query: Seconds
    seconds_train: Seconds
    device_seconds: Seconds | None
    energy_joules: Annotated[float, Field(ge=0)] | None = None
    thief_predictions: list[int]
    answer_histogram: list[int]

    @property
    def seconds_wall(self) -> float:
        """Wall time of querying and training, one after the other."""
        return self.seconds_query + self.seconds_train


class Transfer(Model):
    """Adversarial examples made on the copycat with one bound, asked of the victim on its device.

    Fooled: names another class than the victim gives the clean image.

    Attributes:
        epsilon: bound of the change of a pixel (L-infinity), in 1/255.
        copycat_fooled: share of the examples that fool the copycat.
        victim_fooled: share that fool the victim.
        random_noise: share of images that fool the victim with as large a change of random signs: the control.
        queries: what the measuring cost, outside every thief's budget.
    """

    epsilon: Annotated[float, Field(ge=0)]
    copycat_fooled: Share
    victim_fooled: Share
    random_noise: Share
    queries: Count


class Saliency(Model):
    """How alike thief's and victim's saliency maps are, means over images.

    A control is the higher of two: of an untrained network of the thief's architecture, and of the thief's maps of
    other images.

    Attributes:
        images: test images compared.
        rank_correlation: Spearman's, over an image's pixels, in [-1, 1].
        rank_correlation_control: its control.
        top_overlap: share that the two sets of the 10 % most salient pixels have in common.
        top_overlap_control: its control.
    """

    images: Count
    rank_correlation: SignedShare
    rank_correlation_control: SignedShare
    top_overlap: Share
    top_overlap_control: Share


class Calibration(Model):
    """How far confidence is from being right, on the test split.

    Attributes:
        ece_thief: expected calibration error of the thief, in [0, 1].
        ece_victim: the same of the victim.
        brier_thief: Brier score over all classes, in [0, 2].
        brier_victim: the same of the victim.
        confidence_difference: mean confidence of the thief less the victim's, in [-1, 1].
    """

    ece_thief: Share
    ece_victim: Share
    brier_thief: Brier
    brier_victim: Brier
    confidence_difference: SignedShare


class Gain(OfThief):
    """What one thief gains beyond labels; its `Attack` has the same artefact, pool, strategy, budget and seed.

    Attributes:
        transfer: one for each bound.
        saliency: None: not measured.
        calibration: None: not measured, or the victim's scores are not known.
    """

    kind: Literal["gain"] = "gain"
    transfer: list[Transfer] = Field(default_factory=list)
    saliency: Saliency | None = None
    calibration: Calibration | None = None
