"""Steal a deployed model and measure the copies."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import nn

from attack.copycat import Copycat, CopycatTrainer
from attack.extraction import Theft, ThiefSettings, extract
from attack.fidelity import measure_fidelity
from attack.ledger import Ledger
from attack.oracle import Oracle
from attack.pools import Pool
from attack.strategies import find_strategy
from benchmarks.records import Attack, DeviceKind, OfThief
from benchmarks.statistics import proportion_interval
from edge.devices.energy import EnergyMeter, energy_joules
from foundation.progress import SILENT, Progress
from victim.dataset import Dataset
from victim.training import predict


@dataclass(frozen=True)
class Target:
    """What is attacked, and what the evaluator knows of it.

    Attributes:
        oracle: the black box.
        artifact: its name.
        device_kind: of the device it runs on.
        dataset: whose test split measures the thief.
        answers: int64 [test images], the victim's labels on the device: the reference of fidelity.
        run_id: for the records.
        network: the victim's float network, where it is at hand.
        meter: of the device's energy.
    """

    oracle: Oracle
    artifact: str
    device_kind: DeviceKind
    dataset: Dataset
    answers: NDArray[np.int64]
    run_id: str
    network: nn.Module | None
    meter: EnergyMeter


def steal(
    target: Target,
    pools: Sequence[Pool],
    thief: ThiefSettings,
    ledger: Ledger,
    trainer: CopycatTrainer,
    *,
    wanted: Collection[int] | None = None,
    spool: Path | None = None,
    progress: Progress = SILENT,
) -> Iterator[Stolen]:
    """One thief at each of its budgets; see `attack.extraction.extract`."""
    strategy = find_strategy(thief.strategy, pools, thief.budgets[-1], thief.seed, thief.architecture)
    before = target.meter.read()
    for theft in extract(
        target.oracle, strategy, ledger, thief, trainer, wanted=wanted, spool=spool, progress=progress
    ):
        # What the ledger answered cost no energy now.
        told = theft.device_queries == theft.queries
        yield Stolen(target, thief, theft, energy_joules(before, target.meter.read()) if told else None)


@dataclass(frozen=True)
class Stolen:
    """A theft whose copycat may still be in training."""

    target: Target
    thief: ThiefSettings
    theft: Theft
    energy: float | None

    @cached_property
    def copycat(self) -> Copycat:
        """Wait for the copycat."""
        return self.theft.copycat.result()

    def of_thief(self) -> OfThief:
        """What every record of this thief has in common."""
        target, thief = self.target, self.thief
        return OfThief(
            run_id=target.run_id,
            artifact=target.artifact,
            device_kind=target.device_kind,
            pool=thief.pool,
            strategy=thief.strategy,
            learner=thief.learner,
            answers=str(target.oracle.policy),
            thief_architecture=thief.architecture,
            budget=self.theft.budget,
            seed=thief.seed,
        )

    def measured(self) -> Attack:
        """Measure the copycat on the test split, as a record."""
        target, theft = self.target, self.theft
        test = target.dataset.test
        predictions = predict(self.copycat.network, test.images).argmax(1).astype(np.int64)
        measured = measure_fidelity(predictions, target.answers, test.labels)
        return Attack(
            **self.of_thief().model_dump(),
            queries=theft.queries,
            device_queries=theft.device_queries,
            reference="device",
            accuracy=measured.accuracy,
            fidelity=measured.fidelity,
            fidelity_ci=proportion_interval(measured.agrees, np.random.default_rng(self.thief.seed)),
            correct_fidelity=measured.correct_fidelity,
            relative_accuracy=measured.relative_accuracy,
            macro_f1_ratio=measured.macro_f1_ratio,
            seconds_query=theft.seconds_query,
            seconds_train=self.copycat.seconds,
            device_seconds=theft.device_seconds,
            energy_joules=self.energy,
            thief_predictions=predictions.tolist(),
            answer_histogram=theft.answer_histogram.tolist(),
        )
