"""Every theft that the settings ask for: pools times seeds, at each budget, against one deployed artefact."""

from __future__ import annotations

from collections import deque

import numpy as np

from attack.copycat import CopycatTrainer
from attack.extraction import ThiefSettings
from attack.ledger import Ledger
from attack.pools import Pool, find_pools
from attack.strategies import default_strategy, find_strategy
from benchmarks.records import AccuracyOnDevice, Attack
from edge.deployment import deploy
from edge.devices.opening import OpenDevice
from edgecat.journal import Journal
from edgecat.settings import RunSettings
from edgecat.stages.data import second_hospital
from edgecat.stages.theft import Stolen, Target, steal
from foundation.answers import AnswerPolicy
from foundation.manifest import Artifact
from foundation.progress import SILENT, Progress
from victim.dataset import Dataset


class Campaign:
    """The thieves of a run.

    Raises:
        UsageError, DataError: a pool, strategy, policy or budget that cannot work; told before anything is trained.
    """

    def __init__(self, settings: RunSettings, journal: Journal, dataset: Dataset, progress: Progress = SILENT) -> None:
        self.settings, self.journal, self.dataset, self.progress = settings, journal, dataset, progress
        self.policy = AnswerPolicy.parse(settings.answers)
        self.policy.width(len(dataset.class_names))
        self._proxy = second_hospital(settings, settings.budgets[-1], progress)
        self.thieves = self._plan()

    def steal(self, device: OpenDevice, artifact: Artifact) -> None:
        """Carry out what is not on record yet.

        Args:
            device: where the artefact runs.
            artifact: the target; its answers on the test split are on record.
        """
        name = artifact.manifest.name
        reference = next(r for r in reversed(self.journal.of(AccuracyOnDevice)) if r.artifact == name)
        missing = [(thief, budgets) for thief in self.thieves if (budgets := self._missing(thief, name))]
        if not missing:
            return
        with (
            Ledger(self.journal.directory.ledger) as ledger,
            deploy(device, artifact, self.policy, self.settings.serving(artifact.manifest.runtime)) as oracle,
            CopycatTrainer(progress=self.progress) as trainer,
        ):
            answers = np.array(reference.predictions, np.int64)
            target = Target(oracle, name, device.info.kind, self.dataset, answers, self.journal.run_id)
            stolen: deque[Stolen] = deque()
            for thief, budgets in missing:
                pools = self._pools(thief)
                thefts = steal(target, pools, thief, ledger, trainer, wanted=budgets, progress=self.progress)
                stolen.extend(thefts)
                self._collect(stolen, keep=2 * trainer.workers)
            self._collect(stolen, keep=0)

    def _plan(self) -> list[ThiefSettings]:
        settings = self.settings
        thieves = [
            ThiefSettings(
                pool=pool,
                strategy=settings.strategy or default_strategy(pool),
                architecture=settings.thief,
                budgets=settings.budgets,
                seed=settings.seed + number,
                data=self.dataset.sha256,
            )
            for pool in settings.pools or default_pools(self.dataset, settings)
            for number in range(settings.seeds)
        ]
        for thief in thieves[:: settings.seeds]:
            find_strategy(thief.strategy, self._pools(thief), thief.budgets[-1], thief.seed)
        return thieves

    def _pools(self, thief: ThiefSettings) -> tuple[Pool, ...]:
        return find_pools(thief.pool, self.dataset, thief.seed, self._proxy)

    def _missing(self, thief: ThiefSettings, artifact: str) -> set[int]:
        """Budgets of this thief that have no record."""
        wanted = (artifact, thief.pool, thief.strategy, thief.seed, thief.architecture, str(self.policy))
        done = {
            record.budget
            for record in self.journal.of(Attack)
            if (
                record.artifact,
                record.pool,
                record.strategy,
                record.seed,
                record.thief_architecture,
                record.answers,
            )
            == wanted
        }
        return set(thief.budgets) - done

    def _collect(self, stolen: deque[Stolen], keep: int) -> None:
        """Wait for the oldest copycats until no more than `keep` are in training, and put them on record."""
        while len(stolen) > keep:
            record = stolen.popleft().measured()
            self.journal.add(record)
            self.progress.say(
                f"{record.pool}, {record.strategy}, seed {record.seed}: {record.queries} queries, "
                f"fidelity {record.fidelity:.1%}, {record.relative_accuracy:.1%} of the victim's accuracy"
            )


def default_pools(dataset: Dataset, settings: RunSettings) -> tuple[str, ...]:
    """Non-problem-domain images, the other hospital where there is one, and a hundred images of the domain."""
    few = f"pd:{min(100, len(dataset.thief))}" if len(dataset.thief) else None
    other = "proxy" if settings.data == "phantom" else None
    return tuple(pool for pool in ("npd", other, few) if pool is not None)
