"""Thieves and what they gain, aggregated over seeds (parts of `benchmarks.summary`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from benchmarks.record_set import AttackKey, RecordSet
from benchmarks.records import Attack, Calibration, DeviceKind, Gain, Interval, Saliency
from benchmarks.statistics import agreement_interval, difference_interval

# There are as many intervals as classes, and they are wide: their bounds need be known less finely.
_CLASS_RESAMPLES = 1000
_Measured = TypeVar("_Measured", Saliency, Calibration)


class Part(BaseModel):
    """A frozen part of the document."""

    model_config = ConfigDict(frozen=True)


class ClassFidelity(Part):
    """Agreement on the test images that the reference puts into one class.

    Attributes:
        name: the class.
        images: how many test images the reference puts there.
        fidelity: mean over the seeds; None where there is no such image.
        fidelity_ci: over seeds and these images.
    """

    name: str
    images: int
    fidelity: float | None
    fidelity_ci: Interval | None


class Thief(Part):
    """What thieves of one aggregate have in common; `benchmarks.record_set.AttackKey` has the same names."""

    artifact: str
    device: str
    device_kind: DeviceKind
    pool: str
    strategy: str
    learner: str = "supervised"
    answers: str
    thief_architecture: str
    budget: int
    seeds: list[int]

    @property
    def key(self) -> AttackKey:
        """The aggregate in a `RecordSet`."""
        return AttackKey(**{name: getattr(self, name) for name in AttackKey._fields})

    @property
    def name(self) -> str:
        """Strategy, and learner where it is not the plain one."""
        return thief_name(self.key)

    @property
    def series(self) -> AttackKey:
        """The same for every budget of this thief."""
        return self.key._replace(budget=0)


class AttackSummary(Thief):
    """Thieves that differ in their seed only: means over the seeds.

    Attributes:
        seeds: which seeds.
        queries: mean over the seeds, like every number below.
        fidelity_ci: over seeds and test images; see `benchmarks.statistics.agreement_interval`.
        accuracy_ci: likewise, for the thief's accuracy; None where no victim record tells the labels.
        most_frequent: agreement of always naming the reference's most frequent answer.
        class_fidelity: fidelity by the reference's class.
        baseline: whom the thief is compared with: `random` of the same pool, learner and budget; where a pool is too
            small for that, the strategy with its chosen variants chosen at random (`amplify` for `amplify:kcenter`);
            for `random` itself by another learner, the supervised one. None where no such thief is on record.
        gain_ci: fidelity less the baseline's; see `benchmarks.statistics.difference_interval`.
        beats_random: whether that interval lies above 0. None: no baseline, or it is the baseline itself.
        answered_classes: how many classes the victim named in answer to these thieves' queries.
        seconds_wall: querying and training, one after the other.
        energy_joules: None where the device does not tell it for every seed.
    """

    queries: int | float
    device_queries: int | float
    accuracy: float
    accuracy_ci: Interval | None
    fidelity: float
    fidelity_ci: Interval
    correct_fidelity: float
    relative_accuracy: float
    macro_f1_ratio: float
    most_frequent: float
    class_fidelity: list[ClassFidelity]
    baseline: str | None
    gain_ci: Interval | None
    beats_random: bool | None
    answered_classes: int
    seconds_query: float
    seconds_train: float
    seconds_wall: float
    device_seconds: float | None
    energy_joules: float | None


class TransferSummary(Part):
    """Adversarial examples with one bound: means over seeds (see `benchmarks.records.Transfer`).

    Attributes:
        victim_fooled_range: the lowest and the highest seed's; for so few seeds more honest than an interval.
    """

    epsilon: float
    copycat_fooled: float
    victim_fooled: float
    victim_fooled_range: Interval
    random_noise: float
    queries: float


class GainSummary(Thief):
    """What thieves gain beyond labels: means over the seeds for which it was measured; None: for none."""

    transfer: list[TransferSummary]
    saliency: Saliency | None
    calibration: Calibration | None


def summarise_attack(held: RecordSet, key: AttackKey, attacks: Sequence[Attack]) -> AttackSummary:
    """One aggregate.

    Raises:
        DataError: the records contradict each other.
    """

    def mean(value: Callable[[Attack], float]) -> float:
        return float(np.mean([value(attack) for attack in attacks]))

    hits = held.hits(key)
    baseline, gain_ci = _against_random(held, key)
    reference = held.reference(attacks[0], key)
    return AttackSummary(
        **key._asdict(),
        seeds=[attack.seed for attack in attacks],
        queries=_whole(mean(lambda a: a.queries)),
        device_queries=_whole(mean(lambda a: a.device_queries)),
        accuracy=mean(lambda a: a.accuracy),
        accuracy_ci=_accuracy_interval(held, attacks),
        fidelity=mean(lambda a: a.fidelity),
        # A generator of its own for each aggregate: its interval does not depend on what else was measured.
        fidelity_ci=agreement_interval(hits, np.random.default_rng(0)),
        correct_fidelity=mean(lambda a: a.correct_fidelity),
        relative_accuracy=mean(lambda a: a.relative_accuracy),
        macro_f1_ratio=mean(lambda a: a.macro_f1_ratio),
        most_frequent=most_frequent(reference),
        class_fidelity=_by_class(hits, reference, held.class_names),
        baseline=baseline,
        gain_ci=gain_ci,
        beats_random=None if gain_ci is None else gain_ci[0] > 0,
        answered_classes=len({k for attack in attacks for k, times in enumerate(attack.answer_histogram) if times}),
        seconds_query=mean(lambda a: a.seconds_query),
        seconds_train=mean(lambda a: a.seconds_train),
        seconds_wall=mean(lambda a: a.seconds_wall),
        device_seconds=_mean_of_all([attack.device_seconds for attack in attacks]),
        energy_joules=_mean_of_all([attack.energy_joules for attack in attacks]),
    )


def summarise_gain(key: AttackKey, gains: Sequence[Gain]) -> GainSummary:
    """One aggregate of what thieves gain beyond labels."""
    epsilons = sorted({point.epsilon for gain in gains for point in gain.transfer})
    return GainSummary(
        **key._asdict(),
        seeds=[gain.seed for gain in gains],
        transfer=[_transfer(gains, epsilon) for epsilon in epsilons],
        saliency=_mean_model(Saliency, [gain.saliency for gain in gains if gain.saliency]),
        calibration=_mean_model(Calibration, [gain.calibration for gain in gains if gain.calibration]),
    )


def thief_name(key: AttackKey) -> str:
    """`kcenter`, or `kcenter (semi)` of a thief that learns otherwise than from its answers alone."""
    return key.strategy if key.learner == "supervised" else f"{key.strategy} ({key.learner})"


def baselines(key: AttackKey) -> list[AttackKey]:
    """Whom a thief has to beat, the first on record of these; see `AttackSummary.baseline`."""
    parts = key.strategy.split("+")
    plain = ["amplify" if part.startswith("amplify") else "random" for part in parts]
    strategies = ["random", "+".join(["random"] * len(parts)), "+".join(plain)]
    if key.strategy in strategies[:2]:
        return [] if key.learner == "supervised" else [key._replace(learner="supervised")]
    return [key._replace(strategy=strategy) for strategy in strategies if strategy != key.strategy]


def most_frequent(answers: NDArray[np.int64]) -> float:
    """Share of the most frequent one of int64 [N] answers; 0 for none."""
    return float(np.unique_counts(answers).counts.max() / len(answers)) if len(answers) else 0.0


def _against_random(held: RecordSet, key: AttackKey) -> tuple[str | None, Interval | None]:
    """The baseline's name and the interval of the fidelity beyond it, over the seeds that both have."""
    own = dict(zip((attack.seed for attack in held.attacks[key]), held.hits(key), strict=True))
    for other in baselines(key):
        theirs = dict(zip((a.seed for a in held.attacks.get(other, [])), held.hits(other), strict=True))
        if seeds := sorted(own.keys() & theirs.keys()):
            pairs = [own[seed] for seed in seeds], [theirs[seed] for seed in seeds]
            return thief_name(other), difference_interval(*pairs, np.random.default_rng(0))
    return None, None


def _by_class(
    hits: Sequence[NDArray[np.bool_]], reference: NDArray[np.int64], class_names: Sequence[str]
) -> list[ClassFidelity]:
    found = []
    for label, name in enumerate(class_names):
        rows = reference == label
        own = [row[rows] for row in hits]
        known = bool(rows.any())
        found.append(
            ClassFidelity(
                name=name,
                images=int(rows.sum()),
                fidelity=float(np.mean(own)) if known else None,
                fidelity_ci=agreement_interval(own, np.random.default_rng(0), _CLASS_RESAMPLES) if known else None,
            )
        )
    return found


def _accuracy_interval(held: RecordSet, attacks: Sequence[Attack]) -> Interval | None:
    if held.victim is None or any(len(a.thief_predictions) != len(held.victim.labels) for a in attacks):
        return None
    labels = np.asarray(held.victim.labels, np.int64)
    return agreement_interval(
        [np.asarray(a.thief_predictions, np.int64) == labels for a in attacks], np.random.default_rng(0)
    )


def _transfer(gains: Sequence[Gain], epsilon: float) -> TransferSummary:
    points = [point for gain in gains for point in gain.transfer if point.epsilon == epsilon]
    fooled = [point.victim_fooled for point in points]
    return TransferSummary(
        epsilon=epsilon,
        copycat_fooled=float(np.mean([point.copycat_fooled for point in points])),
        victim_fooled=float(np.mean(fooled)),
        victim_fooled_range=(min(fooled), max(fooled)),
        random_noise=float(np.mean([point.random_noise for point in points])),
        queries=float(np.mean([point.queries for point in points])),
    )


def _mean_model(kind: type[_Measured], measured: Sequence[_Measured]) -> _Measured | None:
    """Field by field; whole numbers stay whole."""
    if not measured:
        return None
    means = {name: np.mean([getattr(one, name) for one in measured]) for name in kind.model_fields}
    return kind.model_validate({k: round(v) if k == "images" else float(v) for k, v in means.items()})


def _mean_of_all(values: Sequence[float | None]) -> float | None:
    """Their mean; None where one of them is not known."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if len(known) == len(values) else None


def _whole(value: float) -> int | float:
    return int(value) if value.is_integer() else value
