"""What answer policies cost an honest user, and what a thief of labels and a thief of scores still get under each."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch

from attack.copycat import Copycat, Lesson, check_learner
from attack.extraction import ThiefSettings, extract
from attack.fidelity import measure_fidelity
from attack.kept import KeepingTrainer
from attack.ledger import Ledger
from attack.oracle import Oracle
from attack.pools import Pool, find_pools
from attack.strategies import default_strategy, find_strategy
from defense.policies.defence import Defence
from defense.policies.records import Learns, PolicyReport, PolicyResult, Thief
from defense.policies.utility import measure_utility
from edge.deployment import deploy
from edge.devices.opening import OpenDevice, open_device
from edge.devices.spec import parse_spec
from edgecat.settings import RunSettings
from edgecat.stages.data import second_hospital
from foundation.answers import AnswerPolicy, Answers
from foundation.errors import DataError, UsageError
from foundation.files import file_name
from foundation.manifest import Artifact
from foundation.progress import SILENT, Progress
from victim.dataset import Dataset
from victim.models import build
from victim.training import predict


class _BothThieves(KeepingTrainer):
    """Trains a thief of whole answers, and beside it one of their best classes.

    Policies that leave the best class alone share the latter: their lessons are equal.
    """

    def __init__(self, directory: Path, dataset: Dataset, progress: Progress) -> None:
        super().__init__(directory / "thieves", dataset, progress=progress)
        self.of_labels: Future[Copycat] = Future()
        self.refused = 0

    def submit(self, lesson: Lesson, architecture: str, seed: int, learner: str = "supervised") -> Future[Copycat]:
        """See `attack.copycat.CopycatTrainer.submit`."""
        self.refused = sum(int(answers.refused.sum()) for _, answers in lesson.parts)
        self.of_labels = super().submit(lesson.hardened(), architecture, seed, learner)
        tells_scores = lesson.parts[0][1].policy.tells_scores
        return super().submit(lesson, architecture, seed, learner) if tells_scores else self.of_labels


class _Measured:
    """One deployed artefact whose policies are measured in turn."""

    def __init__(
        self,
        device: OpenDevice,
        artifact: Artifact,
        dataset: Dataset,
        settings: RunSettings,
        directory: Path,
        progress: Progress,
    ) -> None:
        self.device, self.artifact, self.dataset = device, artifact, dataset
        self.settings, self.directory, self.progress = settings, directory, progress
        (self.budget,), (self.pool,) = settings.budgets, settings.pools
        self.strategy = settings.strategies[0] if settings.strategies else default_strategy(self.pool)
        self._proxy = second_hospital(settings, self.budget, progress)
        self._serving = settings.serving(artifact.manifest.runtime)
        for number in range(settings.seeds):
            find_strategy(self.strategy, self._pools(settings.seed + number), self.budget, settings.seed + number)
        self.engine, self.own = self._undefended()

    def result(self, defence: Defence) -> PolicyResult:
        """Deploy under a policy, measure its cost, and steal."""
        self.progress.say(f"answers under {defence.name}")
        with deploy(self.device, self.artifact, defence.policy, self._serving, self.progress) as deployed:
            oracle = defence.before(deployed, self._surrogate())
            utility = measure_utility(oracle.query(self.dataset.test.images), self.own, self.dataset.test.labels)
            trainer = _BothThieves(self.directory, self.dataset, self.progress)
            with Ledger(self.directory / f"{file_name('ledger', defence.name)}.sqlite") as ledger, trainer:
                thieves = [
                    thief
                    for number in range(self.settings.seeds)
                    for thief in self._steal(oracle, ledger, trainer, self.settings.seed + number)
                ]
        return PolicyResult(defence.name, defence.applied, defence.keeps_top1, utility, thieves)

    def _undefended(self) -> tuple[str, Answers]:
        with deploy(self.device, self.artifact, AnswerPolicy("scores"), self._serving, self.progress) as deployed:
            return deployed.hello.engine, deployed.query(self.dataset.test.images)

    def _surrogate(self) -> torch.nn.Module:
        """An untrained network of the thief's architecture, but not of a thief's seed."""
        shape, classes = self.dataset.image_shape, len(self.dataset.class_names)
        return build(self.settings.thief, shape[2], classes, torch.Generator().manual_seed(self.settings.seed + 0x3AD))

    def _pools(self, seed: int) -> tuple[Pool, ...]:
        return find_pools(self.pool, self.dataset, seed, self._proxy, resize=self.settings.resize)

    def _steal(self, oracle: Oracle, ledger: Ledger, trainer: _BothThieves, seed: int) -> Iterator[Thief]:
        settings = self.settings
        thief = ThiefSettings(
            pool=self.pool,
            strategy=self.strategy,
            architecture=settings.thief,
            budgets=(self.budget,),
            seed=seed,
            data=self.dataset.sha256,
            learner=settings.learner,
            effort=settings.effort,
        )
        strategy = find_strategy(self.strategy, self._pools(seed), self.budget, seed, settings.thief)
        (theft,) = extract(oracle, strategy, ledger, thief, trainer, spool=self.directory, progress=self.progress)
        kinds: tuple[tuple[Learns, Future[Copycat]], ...] = (("labels", trainer.of_labels), ("scores", theft.copycat))
        for learns, copycat in kinds if oracle.policy.tells_scores else kinds[:1]:
            yield self._measured(learns, seed, theft.queries, trainer.refused, copycat.result())

    def _measured(self, learns: Learns, seed: int, queries: int, refused: int, copycat: Copycat) -> Thief:
        test = self.dataset.test
        named = predict(copycat.network, test.images).argmax(1).astype(np.int64)
        found = measure_fidelity(named, self.own.top1(), test.labels)
        return Thief(
            learns=learns,
            seed=seed,
            queries=queries,
            refused=refused,
            accuracy=found.accuracy,
            fidelity=found.fidelity,
            correct_fidelity=found.correct_fidelity,
            relative_accuracy=found.relative_accuracy,
            macro_f1_ratio=found.macro_f1_ratio,
            seconds_train=copycat.seconds,
            predictions=named.tolist(),
        )


def check_settings(settings: RunSettings, defences: Sequence[Defence]) -> None:
    """Tell what can be told without data and device.

    Raises:
        UsageError: more than one budget, pool or strategy; no defence; a strategy or learner that cannot be compared.
    """
    if len(settings.budgets) != 1 or len(settings.pools) != 1 or len(settings.strategies) > 1 or not defences:
        raise UsageError("policies are compared at one budget, with one pool and one strategy")
    if settings.strategies == ("datafree",):
        raise UsageError("datafree trains its own copycat: there is no lesson for two thieves", hint="name another")
    check_learner(settings.learner)


def measure_policies(
    artifact: Artifact,
    dataset: Dataset,
    defences: Sequence[Defence],
    settings: RunSettings,
    *,
    key: Path | None = None,
    out: Path | None = None,
    progress: Progress = SILENT,
) -> PolicyReport:
    """Deploy a model under each policy in turn; measure what it costs and what thieves get.

    Args:
        artifact: the model.
        dataset: what it was trained for; the test split measures.
        defences: what to try.
        settings: `device` and how to serve; one of `budgets` and one of `pools` for the thieves, `seeds` of them, at
            most one of `strategies`; `data` tells whether there is a second hospital.
        key: private adb key for `tcp:` devices.
        out: keeps ledgers and thieves there: started again, no query is asked and no thief trained twice. None: they
            are thrown away.
        progress: where to show it.

    Raises:
        UsageError, DataError: a setting that cannot work; told before anything is asked.
        DeviceError: the device failed.
    """
    check_settings(settings, defences)
    classes = len(artifact.manifest.class_names)
    for defence in defences:
        defence.policy.width(classes)
    if dataset.class_names != artifact.manifest.class_names:
        raise DataError(
            f"{artifact.path.name} knows {classes} classes, {dataset.name} has other {len(dataset.class_names)}",
            hint="give the data that it was trained for",
        )
    with _directory(out) as directory, open_device(settings.device, key) as opened:
        measured = _Measured(opened, artifact, dataset, settings, directory, progress)
        results = [measured.result(defence) for defence in defences]
        return _report(measured, results)


@contextmanager
def _directory(out: Path | None) -> Iterator[Path]:
    if out is not None:
        try:
            out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"cannot make {out}: {error.strerror}") from error
        yield out
        return
    with tempfile.TemporaryDirectory(prefix="edgecat-policies-") as name:
        yield Path(name)


def _report(measured: _Measured, results: list[PolicyResult]) -> PolicyReport:
    settings, test, own = measured.settings, measured.dataset.test, measured.own.top1()
    return PolicyReport(
        model=measured.artifact.manifest.sha256,
        artifact=measured.artifact.manifest.name,
        device=parse_spec(measured.device.info.spec).anonymous,
        device_kind=measured.device.info.kind,
        engine=measured.engine,
        data=measured.dataset.name,
        pool=measured.pool,
        strategy=measured.strategy,
        thief=settings.thief,
        budget=measured.budget,
        effort=settings.effort,
        victim_accuracy=float((own == test.labels).mean()),
        constant_fidelity=float(np.bincount(own).max() / len(own)),
        victim_predictions=own.tolist(),
        truth=test.labels.tolist(),
        results=results,
    )
