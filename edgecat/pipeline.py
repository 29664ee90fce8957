"""`edgecat run`: the whole road, from data to report, in one run directory.

Every stage leaves its files and records before the next begins. A run that was killed goes on from what it finds: a
checkpoint is not trained again, an artefact that still fits its manifest is not exported again, a query in the ledger
is not asked again, a thief whose record stands is not trained again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import TypeVar

import numpy as np
from pydantic import BaseModel

from attack.copycat import CopycatTrainer
from attack.extraction import ThiefSettings
from attack.ledger import Ledger
from attack.pools import find_pool
from attack.strategies import find_strategy
from benchmarks import records
from benchmarks.records import AccuracyOnDevice, ArtifactRecord, Attack, Latency, Record, Victim
from benchmarks.report import write_report
from benchmarks.summary import Summary, summarise
from edge.deployment import deploy
from edge.devices.opening import OpenDevice, open_device
from edge.devices.spec import parse_spec
from edge.runner.messages import BenchmarkRequest
from edgecat.context import describe_context
from edgecat.directory import RunDirectory
from edgecat.settings import RunSettings
from edgecat.stages.data import load_dataset, second_hospital
from edgecat.stages.device import describe_device, measure_accuracy, measure_latency
from edgecat.stages.export import export_victim, gate
from edgecat.stages.theft import Stolen, Target, default_strategy, steal
from edgecat.stages.victim import load_victim, measure_victim, train_victim
from export.recipes import Recipe, select_recipes
from foundation.answers import AnswerPolicy
from foundation.errors import ArtifactError, DataError
from foundation.manifest import Artifact, load_artifact
from foundation.progress import SILENT, Progress
from victim.checkpoint import Checkpoint
from victim.dataset import Dataset

_Kind = TypeVar("_Kind", bound=BaseModel)

# Which artefact the thieves go for, of those that were exported: what apps ship most.
_TARGETS = ("tflite_int8", "executorch_int8", "tflite_fp32", "executorch_fp32")


def run(settings: RunSettings, directory: RunDirectory, progress: Progress = SILENT) -> Summary:
    """Walk the road, or the rest of it.

    Args:
        settings: what to do.
        directory: where; what stands in it already is kept.
        progress: where to show it.

    Returns:
        the document that `edgecat run --json` prints.

    Raises:
        CheckFailed: an artefact does not pass the parity gate; nothing is deployed.
        EdgecatError: anything else that went wrong; the directory can be resumed.
    """
    with directory.locked():
        return _Walk(settings, directory, progress).walk()


class _Walk:
    """One walk: the settings, the place, and the records so far."""

    def __init__(self, settings: RunSettings, directory: RunDirectory, progress: Progress) -> None:
        self.settings, self.directory, self.progress = settings, directory, progress
        # What cannot work is told before the first minute of training.
        self.policy = AnswerPolicy.parse(settings.answers)
        self.recipes = select_recipes(settings.runtimes, settings.precisions)
        parse_spec(settings.device)
        self.run_id = directory.run_id
        self.records: list[Record] = records.read(directory.results) if directory.results.exists() else []

    def walk(self) -> Summary:
        """Every stage in turn."""
        dataset = load_dataset(self.settings, self.progress)
        self.policy.width(len(dataset.class_names))
        thieves = self._thieves(dataset)
        self._add(describe_context(self.settings, self.run_id))
        checkpoint = self._victim(dataset)
        artifacts = self._artifacts(checkpoint, dataset)
        with open_device(self.settings.device) as device:
            self.progress.say(f"device {device.info.spec}: {device.info.model}, {device.info.abi} ({device.info.kind})")
            self._add(describe_device(device.info, self.run_id))
            for artifact in artifacts:
                self._measure(device, artifact, dataset)
            self._steal(device, _target(artifacts), thieves, dataset)
        return self._report(dataset)

    def _add(self, record: Record) -> None:
        records.append(self.directory.results, record)
        self.records.append(record)

    def _victim(self, dataset: Dataset) -> Checkpoint:
        settings, path = self.settings, self.directory.checkpoint
        if path.exists():
            checkpoint = load_victim(path, dataset)
        else:
            checkpoint = train_victim(
                dataset,
                path,
                architecture=settings.architecture,
                seed=settings.seed,
                epochs=settings.epochs,
                progress=self.progress,
            )
        if not any(r.sha256 == checkpoint.sha256 for r in self._of(Victim)):
            self._add(measure_victim(checkpoint, dataset, self.run_id))
        victim = self._of(Victim)[-1]
        self.progress.say(
            f"victim: {victim.parameters:,} parameters, {victim.accuracy:.1%} of {len(dataset.test)} test images, "
            f"trained in {victim.seconds_train:.0f} s"
        )
        return checkpoint

    def _artifacts(self, checkpoint: Checkpoint, dataset: Dataset) -> list[Artifact]:
        kept = {recipe.name: found for recipe in self.recipes if (found := self._kept(recipe, checkpoint)) is not None}
        missing = tuple(recipe for recipe in self.recipes if recipe.name not in kept)
        folder, log = self.directory.artifacts, self.directory.export_log
        for artifact, record in export_victim(checkpoint, dataset, missing, folder, self.run_id, log, self.progress):
            self._add(record)
            kept[record.name] = artifact
            self._tell(record)
        for record in self._of(ArtifactRecord):
            gate(record)
        return [kept[recipe.name] for recipe in self.recipes]

    def _kept(self, recipe: Recipe, checkpoint: Checkpoint) -> Artifact | None:
        """An artefact of an earlier walk that is still whole, still this victim's, and on record."""
        try:
            artifact = load_artifact(self.directory.artifacts / recipe.file_name, recipe.runtime)
        except ArtifactError:
            return None
        known = {record.sha256 for record in self._of(ArtifactRecord)}
        manifest = artifact.manifest
        return artifact if manifest.victim_sha256 == checkpoint.sha256 and manifest.sha256 in known else None

    def _tell(self, record: ArtifactRecord) -> None:
        parity = record.parity
        self.progress.say(
            f"{record.name}: {record.bytes / 1000:,.0f} kB, agrees with the float network on {parity.agreement:.2%} of "
            f"{parity.images} images, rms {parity.rms:.2g}"
        )

    def _measure(self, device: OpenDevice, artifact: Artifact, dataset: Dataset) -> None:
        name = artifact.manifest.name
        answered = any(r.artifact == name for r in self._of(AccuracyOnDevice))
        timed = any(r.artifact == name for r in self._of(Latency))
        if answered and timed:
            return
        with deploy(device, artifact, threads=self.settings.threads, progress=self.progress) as deployed:
            if not answered:
                self._add(measure_accuracy(deployed, artifact, dataset, device.info, self.run_id))
            if not timed:
                request = _benchmark_request(self.settings.quick)
                self._add(measure_latency(deployed, artifact, request, device.info, self.run_id, self.progress))
        accuracy = next(r for r in reversed(self._of(AccuracyOnDevice)) if r.artifact == name)
        latency = next(r for r in reversed(self._of(Latency)) if r.artifact == name)
        p50 = f"p50 {latency.latency_us.p50:.0f} µs" if latency.latency_us else "no latency"
        self.progress.say(
            f"{name} on the device: {accuracy.accuracy:.1%} right, labels as in process on "
            f"{accuracy.labels_equal} of {accuracy.labels_compared}, {p50}"
        )

    def _thieves(self, dataset: Dataset) -> list[ThiefSettings]:
        """Who will steal. Pools and strategies are tried now: a wrong one must not cost a training."""
        settings = self.settings
        pools = settings.pools or default_pools(dataset, settings)
        thieves = [
            ThiefSettings(
                pool=pool,
                strategy=settings.strategy or default_strategy(pool),
                architecture=settings.thief,
                budgets=settings.budgets,
                seed=settings.seed + number,
                data=dataset.sha256,
            )
            for pool in pools
            for number in range(settings.seeds)
        ]
        proxy = second_hospital(settings, settings.budgets[-1], self.progress)
        for thief in thieves[:: settings.seeds]:
            pool_of = find_pool(thief.pool, dataset, thief.seed, proxy)
            find_strategy(thief.strategy, pool_of, thief.budgets[-1], thief.seed)
        return thieves

    def _steal(
        self, device: OpenDevice, artifact: Artifact, thieves: Iterable[ThiefSettings], dataset: Dataset
    ) -> None:
        name = artifact.manifest.name
        reference = next(r for r in reversed(self._of(AccuracyOnDevice)) if r.artifact == name)
        proxy = second_hospital(self.settings, self.settings.budgets[-1], self.progress)
        with (
            Ledger(self.directory.ledger) as ledger,
            deploy(device, artifact, self.policy, self.settings.threads) as oracle,
            CopycatTrainer(progress=self.progress) as trainer,
        ):
            answers = np.array(reference.predictions, np.int64)
            target = Target(oracle, name, device.info.kind, dataset, answers, self.run_id)
            stolen: deque[Stolen] = deque()
            for thief in thieves:
                done = {r.budget for r in self._of(Attack) if _same_thief(r, name, thief, self.policy)}
                if done >= set(thief.budgets):
                    continue
                pool = find_pool(thief.pool, dataset, thief.seed, proxy)
                stolen.extend(
                    steal(
                        target,
                        pool,
                        thief,
                        ledger,
                        trainer,
                        wanted=set(thief.budgets) - done,
                        progress=self.progress,
                    )
                )
                self._collect(stolen, keep=2 * trainer.workers)
            self._collect(stolen, keep=0)

    def _collect(self, stolen: deque[Stolen], keep: int) -> None:
        """Wait for the oldest copycats until no more than `keep` are in training, and put them on record."""
        while len(stolen) > keep:
            record = stolen.popleft().measured()
            self._add(record)
            self.progress.say(
                f"{record.pool}, {record.strategy}, seed {record.seed}: {record.queries} queries, "
                f"fidelity {record.fidelity:.1%}, {record.relative_accuracy:.1%} of the victim's accuracy"
            )

    def _report(self, dataset: Dataset) -> Summary:
        sheet = {
            name: dataset.test.images[dataset.test.labels == label] for label, name in enumerate(dataset.class_names)
        }
        page = write_report(self.records, self.directory.path, sheet)
        return summarise(self.records, page)

    def _of(self, kind: type[_Kind]) -> list[_Kind]:
        return [record for record in self.records if isinstance(record, kind)]


def default_pools(dataset: Dataset, settings: RunSettings) -> tuple[str, ...]:
    """Non-problem-domain images, the other hospital where there is one, and a hundred images of the domain."""
    few = f"pd:{min(100, len(dataset.thief))}" if len(dataset.thief) else None
    other = "proxy" if settings.data == "phantom" else None
    return tuple(pool for pool in ("npd", other, few) if pool is not None)


def _same_thief(record: Attack, artifact: str, thief: ThiefSettings, policy: AnswerPolicy) -> bool:
    return (record.artifact, record.pool, record.strategy, record.seed, record.thief_architecture, record.answers) == (
        artifact,
        thief.pool,
        thief.strategy,
        thief.seed,
        thief.architecture,
        str(policy),
    )


def _target(artifacts: list[Artifact]) -> Artifact:
    by_name = {artifact.manifest.name: artifact for artifact in artifacts}
    for name in _TARGETS:
        if name in by_name:
            return by_name[name]
    raise DataError("no artefact to attack")


def _benchmark_request(quick: bool) -> BenchmarkRequest:
    return BenchmarkRequest(min_runs=100, min_seconds=0.5) if quick else BenchmarkRequest()
