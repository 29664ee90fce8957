"""`edgecat defend detect`: what detectors say of every thief in a ledger, and of patients."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from attack.ledger import Ledger
from defense.detection.detector import Detection, Detector, FalseAlarms, NewDetector, false_alarms, watch
from defense.detection.prada import Prada, PradaSettings, calibrate_band
from defense.detection.sequential import CalibrationSettings
from defense.detection.soda import Soda, SodaModel, soda_false_alarms
from defense.detection.streams import patient_streams
from edgecat.settings import RunSettings
from edgecat.stages.data import load_dataset
from edgecat.stages.victim import load_victim
from edgecat.stages.walks import PastThief, find_ledger, past_settings, past_thieves, walk_again
from foundation.errors import DataError, EdgecatError, UsageError
from foundation.progress import SILENT, Progress
from victim.dataset import Dataset, Split
from victim.training import predict

DETECTORS = ("prada", "band", "soda")
# Queries of a harmless session that PRADA is calibrated on.
SESSION = 1_000

Sessions = Iterator[tuple[NDArray[np.uint8], NDArray[np.int64]]]


@dataclass(frozen=True)
class DetectSettings:
    """How detection is measured.

    Attributes:
        detectors: of `DETECTORS`.
        queries: of each thief that are replayed, at most; None for all.
        streams: orders of the patients in which false alarms are looked for.
        rate: share of harmless sessions that may raise an alarm (soda; prada and band allow none of those they know).
        seed: of the orders.
    """

    detectors: tuple[str, ...] = DETECTORS
    queries: int | None = None
    streams: int = 100
    rate: float = 0.01
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.detectors or set(self.detectors) - set(DETECTORS):
            raise UsageError(f"unknown detector {'+'.join(self.detectors)}", hint=f"use {', '.join(DETECTORS)} or all")
        if self.streams < 1 or (self.queries is not None and self.queries < 1):
            raise UsageError("streams and queries are counted from 1")


@dataclass(frozen=True)
class DetectedThief:
    """What the detectors said of one thief.

    Attributes:
        pool, strategy, seed: which one.
        queries: in the ledger.
        detections: one for each detector.
    """

    pool: str
    strategy: str
    seed: int
    queries: int
    detections: tuple[Detection, ...]


@dataclass(frozen=True)
class DetectionResult:
    """All that was found.

    Attributes:
        victim: sha256 of the model that answered.
        policy: of the answers.
        calibration: what each detector's alarm was set to.
        thieves: of the ledger.
        false_alarms: on the test split's patients, for each detector.
        left_out: thieves and detectors that nothing is said of, and why.
    """

    victim: str
    policy: str
    calibration: dict[str, dict[str, float]]
    thieves: tuple[DetectedThief, ...]
    false_alarms: tuple[FalseAlarms, ...]
    left_out: tuple[str, ...]

    def document(self) -> dict[str, Any]:
        """For JSON."""
        alarms = [asdict(one) | {"rate": one.rate, "interval": one.interval} for one in self.false_alarms]
        return asdict(self) | {"false_alarms": alarms}


class Defender:
    """What the owner of a model has: its data, perhaps its float network, and detectors calibrated on them.

    Args:
        dataset: the victim's; train and val calibrate, test tells the false alarms.
        network: the victim's float network; None: then there is no `soda`, and PRADA is calibrated on true labels.
        settings: how.
        progress: where to show it.

    Raises:
        DataError: too few images for a detector.
    """

    def __init__(
        self, dataset: Dataset, network: nn.Module | None, settings: DetectSettings, progress: Progress = SILENT
    ) -> None:
        self.dataset, self.network, self.settings, self.progress = dataset, network, settings, progress
        self.calibration: dict[str, dict[str, float]] = {}
        self.new: dict[str, NewDetector] = {}
        self.left_out: list[str] = []
        self.soda: SodaModel | None = None
        for name in settings.detectors:
            self._calibrate(name)

    def false_alarms(self) -> tuple[FalseAlarms, ...]:
        """Of each detector, on the test split's patients in random orders."""
        return tuple(self._false_alarms(name) for name in self.new)

    def _false_alarms(self, name: str) -> FalseAlarms:
        chance, test, streams = self._chance(2), self.dataset.test, self.settings.streams
        if name == Soda.name and self.soda is not None:
            return soda_false_alarms(self.soda, test, streams, chance)
        return false_alarms(self.new[name], list(self._streams(test, chance, SESSION)))

    def _calibrate(self, name: str) -> None:
        """Set a detector up; one of several that cannot be had is left out."""
        self.progress.say(f"calibrating {name} on harmless images")
        try:
            {"prada": self._calibrate_prada, "band": self._calibrate_band, "soda": self._calibrate_soda}[name]()
        except EdgecatError as error:
            if name == self.settings.detectors[-1] and not self.new:
                raise
            self.left_out.append(f"detector {name}: {error.message}")

    def _calibrate_prada(self) -> None:
        delta, _ = self._band
        self.calibration["prada"] = {"delta": delta}
        self.new["prada"] = lambda: Prada(PradaSettings(delta))

    def _calibrate_band(self) -> None:
        delta, ceiling = self._band
        self.calibration["band"] = {"delta": delta, "ceiling": ceiling}
        self.new["band"] = lambda: Prada(PradaSettings(delta, ceiling))

    @cached_property
    def _band(self) -> tuple[float, float]:
        """The lowest and the highest W of harmless sessions.

        Of training images too: these detectors hold queries against each other and never against what the victim has
        learned, and the val split alone may be shorter than two of their tests.
        """
        train, val = self.dataset.train, self.dataset.val
        arrays = ((getattr(train, name), getattr(val, name)) for name in ("images", "labels", "patients"))
        harmless = Split(*(np.concatenate(parts) for parts in arrays))
        return calibrate_band(self._streams(harmless, self._chance(0), SESSION), PradaSettings(0.0))

    def _calibrate_soda(self) -> None:
        if self.network is None:
            raise UsageError(
                "detector soda looks through the victim's float network, and there is none",
                hint="give --checkpoint FILE, or --detector prada",
            )
        settings = CalibrationSettings(rate=self.settings.rate)
        model = SodaModel.fit(self.network, self.dataset.train, self.dataset.val, self._chance(1), settings)
        test = model.test
        self.soda = model
        self.calibration[Soda.name] = {"threshold": test.threshold, "rate": settings.rate, "least": float(test.least)}
        self.new[Soda.name] = lambda: Soda(model)

    def _streams(self, split: Split, chance: np.random.Generator, length: int | None = None) -> Sessions:
        labels = split.labels
        if self.network is not None:
            labels = predict(self.network, split.images).argmax(1).astype(np.int64)
        return patient_streams(split.images, labels, split.patients, self.settings.streams, chance, length)

    def _chance(self, purpose: int) -> np.random.Generator:
        return np.random.default_rng([self.settings.seed, 0xDE, purpose])


@dataclass(frozen=True)
class PastAttack:
    """A ledger, the settings that it was made with, and the data behind it."""

    ledger: Path
    settings: RunSettings
    dataset: Dataset

    @classmethod
    def find(cls, place: Path, given: RunSettings | None, progress: Progress = SILENT) -> PastAttack:
        """Look for a ledger and load its data.

        Args:
            place: a ledger, or a directory with one.
            given: data and sizes of the attack; None takes them from the records beside the ledger.
            progress: where to show it.

        Raises:
            UsageError: no ledger, or no word on how it was made.
            DataError: data that cannot be had.
        """
        path = find_ledger(place)
        walked = given or past_settings(path, progress)
        if walked is None:
            raise UsageError(f"no results.jsonl beside {path} tells how it was made", hint="give --data of the attack")
        return cls(path, walked, load_dataset(walked, progress))


def detect(
    attack: PastAttack, checkpoint: Path | None, settings: DetectSettings, progress: Progress = SILENT
) -> DetectionResult:
    """Replay every thief of a ledger under the eyes of detectors.

    Args:
        attack: whose thieves.
        checkpoint: the victim's float network; None looks for the one of a run directory.
        settings: how.
        progress: where to show it.

    Raises:
        DataError: other data, another walk, a spoilt ledger.
    """
    path, dataset = attack.ledger, attack.dataset
    own = path.parent / "victim" / "victim.safetensors"
    known = checkpoint or (own if own.is_file() else None)
    network = None if known is None else load_victim(known, dataset).network
    with Ledger(path) as ledger:
        thieves, others = past_thieves(ledger, len(dataset.class_names))
        if not thieves:
            raise DataError(f"ledger {path} has no thief whose walk is known")
        defender = Defender(dataset, network, settings, progress)
        detected = tuple(
            found for thief in thieves if (found := _detected(defender, ledger, thief, attack.settings)) is not None
        )
    if not detected:
        raise DataError(f"no walk of ledger {path} can be replayed: {'; '.join(defender.left_out)}")
    identity = thieves[0].identity
    left_out = (*defender.left_out, *(f"thief {name}: its images are a user's own" for name in others))
    return DetectionResult(
        identity.victim, str(identity.policy), defender.calibration, detected, defender.false_alarms(), left_out
    )


def _detected(defender: Defender, ledger: Ledger, thief: PastThief, walked: RunSettings) -> DetectedThief | None:
    """What the detectors say of one thief; None where its walk is another than we walk."""
    if not thief.queries:
        return None
    detectors: list[Detector] = [new() for new in defender.new.values()]
    stream = _up_to(_asked(ledger, thief, defender, walked), defender.settings.queries)
    who = f"{thief.pool}, {thief.strategy}, seed {thief.seed}"
    try:
        found = tuple(watch(detectors, stream))
    except (DataError, UsageError) as error:
        defender.left_out.append(f"thief {who}: {error}")
        defender.progress.say(f"left out {defender.left_out[-1]}")
        return None
    said = ", ".join(f"{one.detector} {'never' if one.alarm is None else one.alarm}" for one in found)
    defender.progress.say(f"{who}: queries until alarm: {said}")
    return DetectedThief(thief.pool, thief.strategy, thief.seed, thief.queries, found)


def _asked(
    ledger: Ledger, thief: PastThief, defender: Defender, walked: RunSettings
) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.int64]]]:
    for images, answers in walk_again(ledger, thief, defender.dataset, walked, defender.progress):
        yield images, answers.top1()


def _up_to(
    stream: Iterator[tuple[NDArray[np.uint8], NDArray[np.int64]]], queries: int | None
) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.int64]]]:
    left = queries
    for images, labels in stream:
        yield images[:left], labels[:left]
        left = None if left is None else left - len(images)
        if left is not None and left <= 0:
            return
