"""Every theft that the settings ask for: pools times seeds, at each budget, against deployed artefacts."""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from functools import lru_cache

import numpy as np
from torch import nn

from attack.copycat import CopycatTrainer, check_learner
from attack.extraction import ThiefSettings
from attack.ledger import Ledger
from attack.pools import Pool, find_pools
from attack.strategies import baseline, check_strategy, default_strategy, find_strategy
from benchmarks.records import AccuracyOnDevice, Attack
from edge.deployment import deploy
from edge.devices.energy import EnergyMeter
from edge.devices.opening import OpenDevice
from edgecat.journal import Journal
from edgecat.settings import RunSettings
from edgecat.stages.data import second_hospital
from edgecat.stages.gain import measure_gain
from edgecat.stages.queried import save_queried
from edgecat.stages.theft import Stolen, Target, steal
from edgecat.stages.victim import check_architecture
from foundation.answers import AnswerPolicy
from foundation.errors import EdgecatError, UsageError
from foundation.files import file_name
from foundation.manifest import Artifact
from foundation.progress import SILENT, Progress
from victim.checkpoint import header_for, save
from victim.dataset import Dataset


class Campaign:
    """The thieves of a run.

    Args:
        settings: what to try.
        journal: where the records go.
        dataset: the victim's.
        victim: its architecture, where it is known.
        progress: where to show it.

    Raises:
        UsageError, DataError: a pool, strategy, policy or budget that cannot work; told before anything is trained.
    """

    def __init__(
        self,
        settings: RunSettings,
        journal: Journal,
        dataset: Dataset,
        victim: str | None,
        progress: Progress = SILENT,
    ) -> None:
        self.settings, self.journal, self.dataset, self.progress = settings, journal, dataset, progress
        self.architecture = _architecture(settings.thief, victim)
        check_architecture(self.architecture, dataset)
        self.policy = AnswerPolicy.parse(settings.answers)
        self.policy.width(len(dataset.class_names))
        # Several targets: each has a ledger and copies of its own.
        self._apart = len(settings.target_names([recipe.name for recipe in settings.chosen_recipes])) > 1
        self._proxy = second_hospital(settings, settings.budgets[-1], progress)
        # Read from disk once, though several strategies are tried on it in turn.
        self._pools = lru_cache(maxsize=1)(self._find_pools)
        self.thieves = self._plan()

    def check_ledger(self, identity: str) -> None:
        """See to it that an earlier run's ledger here is of this victim, under this policy.

        Raises:
            DataError: it is not.
        """
        place = self.journal.directory.ledger
        if place.exists():
            with Ledger(place) as ledger:
                ledger.check(identity, self.policy)

    def steal(self, device: OpenDevice, artifact: Artifact, network: nn.Module | None = None) -> None:
        """Carry out what is not on record yet.

        Args:
            device: where the artefact runs.
            artifact: the target; its answers on the test split are on record.
            network: its float network, where it is at hand.
        """
        name = artifact.manifest.name
        reference = next(r for r in reversed(self.journal.of(AccuracyOnDevice)) if r.artifact == name)
        missing = [(thief, budgets) for thief in self.thieves if (budgets := self._missing(thief, name))]
        if not missing:
            return
        place = self.journal.directory
        with (
            Ledger(place.ledger_of(name) if self._apart else place.ledger) as ledger,
            deploy(device, artifact, self.policy, self.settings.serving(artifact.manifest.runtime)) as oracle,
            CopycatTrainer(progress=self.progress) as trainer,
        ):
            answers = np.array(reference.predictions, np.int64)
            meter = EnergyMeter(device.adb)
            run_id = self.journal.run_id
            target = Target(oracle, name, device.info.kind, self.dataset, answers, run_id, network, meter)
            stolen: deque[Stolen] = deque()
            for thief, budgets in missing:
                pools, spool = self._pools(thief.pool, thief.seed), self.journal.directory.path
                thefts = steal(
                    target, pools, thief, ledger, trainer, wanted=budgets, spool=spool, progress=self.progress
                )
                stolen.extend(thefts)
                self._collect(stolen, keep=2 * trainer.workers)
            self._collect(stolen, keep=0)

    def _plan(self) -> list[ThiefSettings]:
        """Every thief, told at once if it cannot work."""
        settings = self.settings
        check_learner(settings.learner)
        for strategy in settings.strategies:
            check_strategy(strategy)
        named = [
            (pool, strategy)
            for pool in settings.pools or default_pools(self.dataset, settings)
            for strategy in self._strategies(pool)
        ]
        thieves = [
            ThiefSettings(
                pool=pool,
                strategy=strategy,
                architecture=self.architecture,
                budgets=settings.budgets,
                seed=settings.first_thief + number,
                data=self.dataset.sha256,
                learner=settings.learner,
                effort=settings.effort,
            )
            for pool, strategy in named
            for number in range(settings.seeds)
        ]
        for thief in thieves[:: settings.seeds]:
            find_strategy(thief.strategy, self._pools(thief.pool, thief.seed), thief.budgets[-1], thief.seed)
        return thieves

    def _strategies(self, pool: str) -> tuple[str, ...]:
        """What is tried on a pool: the strategies asked for, and random querying to hold them against."""
        strategies = self.settings.strategies or (default_strategy(pool),)
        if not self.settings.baseline:
            return strategies
        return tuple(dict.fromkeys(name for own in strategies for name in (*self._baseline(pool, own), own)))

    def _baseline(self, pool: str, strategy: str) -> tuple[str, ...]:
        """Querying at random, or among variants of a pool that is too small for it; nothing where neither can be."""
        settings = self.settings
        pools = self._pools(pool, settings.seed)
        for name in (baseline(strategy), default_strategy(pool)):
            with suppress(EdgecatError):
                find_strategy(name, pools, settings.budgets[-1], settings.seed)
                return (name,)
        return ()

    def _find_pools(self, pool: str, seed: int) -> tuple[Pool, ...]:
        return find_pools(pool, self.dataset, seed, self._proxy, resize=self.settings.resize)

    def _missing(self, thief: ThiefSettings, artifact: str) -> set[int]:
        """Budgets of this thief that have no record."""
        wanted = (artifact, thief.pool, thief.strategy, thief.seed, thief.architecture, thief.learner, str(self.policy))
        done = {
            record.budget
            for record in self.journal.of(Attack)
            if (
                record.artifact,
                record.pool,
                record.strategy,
                record.seed,
                record.thief_architecture,
                record.learner,
                record.answers,
            )
            == wanted
        }
        return set(thief.budgets) - done

    def _collect(self, stolen: deque[Stolen], keep: int) -> None:
        """Wait for the oldest copycats until no more than `keep` are in training, and put them on record."""
        while len(stolen) > keep:
            done = stolen.popleft()
            record = done.measured()
            self._keep(done)
            self.journal.add(record)
            self.progress.say(
                f"{record.pool}, {record.strategy}, seed {record.seed}: {record.queries} queries, "
                f"fidelity {record.fidelity:.1%}, {record.relative_accuracy:.1%} of the victim's accuracy"
            )

    def _keep(self, stolen: Stolen) -> None:
        """Keep what is left of a thief beside its record: its network, images it asked about, further gains."""
        thief, theft, place = stolen.thief, stolen.theft, self.journal.directory
        # Of several targets those of the last one: the pictures are much alike.
        save_queried(place.path, thief.pool, thief.strategy, thief.seed, *theft.examples)
        self._save(stolen)
        # One seed is enough for what is shown once, at the end of the curve.
        if thief.seed == self.settings.first_thief and theft.budget == thief.budgets[-1] and self.settings.gains:
            self.journal.add(measure_gain(stolen))

    def _save(self, stolen: Stolen) -> None:
        thief, theft = stolen.thief, stolen.theft
        header = header_for(self.dataset, thief.architecture, stolen.copycat.seconds)
        name = file_name(thief.pool, thief.strategy, thief.learner, str(thief.seed), str(theft.budget))
        place = self.journal.directory.copycats
        folder = place / stolen.target.artifact if self._apart else place
        save(stolen.copycat.network, header, folder / f"{name}.safetensors")


def _architecture(thief: str, victim: str | None) -> str:
    if thief != "same":
        return thief
    if victim is None:
        raise UsageError(
            "--thief same: the model's manifest does not tell its architecture", hint="name it, as in --thief residual"
        )
    return victim


def default_pools(dataset: Dataset, settings: RunSettings) -> tuple[str, ...]:
    """Non-problem-domain images, the other hospital where there is one, and a hundred images of the domain."""
    few = f"pd:{min(100, len(dataset.thief))}" if len(dataset.thief) else None
    other = "proxy" if settings.data == "phantom" else None
    return tuple(pool for pool in ("npd", other, few) if pool is not None)
