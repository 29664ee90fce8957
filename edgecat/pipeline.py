"""`edgecat run`: the whole road, from data to report, in one run directory.

Every stage leaves its files and records before the next begins. A run that was killed goes on from what it finds: a
checkpoint is not trained again, an artefact that still fits its manifest is not exported again, a query in the ledger
is not asked again, a thief whose record stands is not trained again.
"""

from __future__ import annotations

from benchmarks.records import AccuracyOnDevice, ArtifactRecord, Attack, Latency, LayerProfile, Victim
from benchmarks.summary import Summary
from edge.deployment import RunnerOptions, deploy
from edge.devices.conditions import ConditionsReader
from edge.devices.opening import OpenDevice, open_device
from edge.devices.spec import parse_spec
from edge.runner import legacy
from edge.runner.messages import BenchmarkRequest
from edgecat.campaign import Campaign
from edgecat.context import describe_run
from edgecat.directory import RunDirectory
from edgecat.journal import Journal
from edgecat.settings import RunSettings
from edgecat.stages.data import load_dataset
from edgecat.stages.device import describe_device, measure_accuracy
from edgecat.stages.export import export_victim, gate
from edgecat.stages.latency import measure_latency
from edgecat.stages.profile import measure_profile
from edgecat.stages.victim import check_architecture, load_victim, measure_victim, train_victim
from export.recipes import ALL, Recipe
from foundation.errors import ArtifactError, DataError
from foundation.manifest import Artifact, load_artifact
from foundation.progress import SILENT, Progress
from victim.checkpoint import Checkpoint
from victim.dataset import Dataset


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
        walk = _Walk(settings, directory, progress)
        return walk.journal.report(walk.walk())


def measure(settings: RunSettings, directory: RunDirectory, progress: Progress = SILENT) -> None:
    """As `run`, without the report, which `edgecat report` makes of the records at any time."""
    with directory.locked():
        _Walk(settings, directory, progress).walk()


class _Walk:
    """One walk: the settings, the place, and the records so far."""

    def __init__(self, settings: RunSettings, directory: RunDirectory, progress: Progress) -> None:
        # What cannot work is told before the first minute of training.
        self.recipes = settings.chosen_recipes
        if legacy.RUNTIME in settings.runtimes:
            legacy.packages()
        parse_spec(settings.device)
        self.settings, self.directory, self.progress = settings, directory, progress
        self.journal = Journal(directory, progress)

    def walk(self) -> Dataset:
        """Every stage in turn; gives the data set for the report."""
        dataset = load_dataset(self.settings, self.progress)
        check_architecture(self.settings.architecture, dataset)
        campaign = Campaign(self.settings, self.journal, dataset, self.settings.architecture, self.progress)
        self.journal.add(describe_run(self.settings, self.journal.run_id))
        checkpoint = self._victim(dataset)
        artifacts = self._artifacts(checkpoint, dataset)
        with open_device(self.settings.device) as device:
            info = device.info
            self.progress.say(f"device {info.spec}: {info.model}, {info.abi} ({info.kind})")
            self.journal.add(describe_device(info, self.journal.run_id))
            for artifact in artifacts:
                self._measure(device, artifact, dataset)
            exported = {artifact.manifest.name: artifact for artifact in artifacts}
            for name in self.settings.target_names(list(exported)):
                campaign.steal(device, exported[name], checkpoint.network)
        return dataset

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
        if not any(record.sha256 == checkpoint.sha256 for record in self.journal.of(Victim)):
            self.journal.add(measure_victim(checkpoint, dataset, self.journal.run_id))
        victim = self.journal.of(Victim)[-1]
        self.progress.say(
            f"victim: {victim.parameters:,} parameters, {victim.accuracy:.1%} of {len(dataset.test)} test images, "
            f"trained in {victim.seconds_train:.0f} s"
        )
        return checkpoint

    def _artifacts(self, checkpoint: Checkpoint, dataset: Dataset) -> list[Artifact]:
        kept = {recipe.name: found for recipe in self.recipes if (found := self._kept(recipe, checkpoint)) is not None}
        missing = tuple(recipe for recipe in self.recipes if recipe.name not in kept)
        place = self.directory
        # Of all recipes one that this network is nothing for does not keep the others back.
        left_out: dict[str, str] | None = {} if ALL in self.settings.recipes else None
        for artifact, record in export_victim(
            checkpoint, dataset, missing, place.artifacts, self.journal.run_id, place.export_log, self.progress,
            left_out=left_out,
        ):  # fmt: skip
            self._refuse_another(record)
            self.journal.add(record)
            kept[record.name] = artifact
            self._tell_export(record)
        shipped = {artifact.manifest.sha256 for artifact in kept.values()}
        for record in self.journal.of(ArtifactRecord):
            if record.sha256 in shipped:
                gate(record)
        for name, why in (left_out or {}).items():
            self.progress.say(f"{name}: not supported: {why}")
        return [kept[recipe.name] for recipe in self.recipes if recipe.name in kept]

    def _refuse_another(self, made: ArtifactRecord) -> None:
        """Numbers on record stand under an artefact's name: they must not come to stand for another file."""
        journal = self.journal
        measured: list[AccuracyOnDevice | Latency | Attack] = [
            *journal.of(AccuracyOnDevice),
            *journal.of(Latency),
            *journal.of(Attack),
        ]
        known = {record.sha256 for record in journal.of(ArtifactRecord) if record.name == made.name}
        if made.sha256 not in known and any(record.artifact == made.name for record in measured):
            raise DataError(
                f"{made.name} was exported again and came out as another file than the one that was measured",
                hint="numbers of two files do not mix: start a new run with another --out",
            )

    def _kept(self, recipe: Recipe, checkpoint: Checkpoint) -> Artifact | None:
        """An artefact of an earlier walk that is still whole, still this victim's, and on record."""
        try:
            artifact = load_artifact(self.directory.artifacts / recipe.file_name, recipe.runtime)
        except ArtifactError:
            return None
        known = {record.sha256 for record in self.journal.of(ArtifactRecord)}
        manifest = artifact.manifest
        return artifact if manifest.victim_sha256 == checkpoint.sha256 and manifest.sha256 in known else None

    def _tell_export(self, record: ArtifactRecord) -> None:
        parity = record.parity
        self.progress.say(
            f"{record.name}: {record.bytes / 1000:,.0f} kB, agrees with the float network on {parity.agreement:.2%} of "
            f"{parity.images} images, rms {parity.rms:.2g}"
        )

    def _measure(self, device: OpenDevice, artifact: Artifact, dataset: Dataset) -> None:
        """Ask about the test split, time single inferences and their layers, unless all of it is on record."""
        name, journal = artifact.manifest.name, self.journal
        answered = any(record.artifact == name for record in journal.of(AccuracyOnDevice))
        timed = any(record.artifact == name for record in journal.of(Latency))
        if answered and timed:
            return
        serving = self.settings.serving(artifact.manifest.runtime)
        if not any(record.artifact == name for record in journal.of(LayerProfile)):
            self._profile(device, artifact, serving)
        with deploy(device, artifact, options=serving, progress=self.progress) as deployed:
            if not answered:
                journal.add(measure_accuracy(deployed, artifact, dataset, device.info, journal.run_id))
            if not timed:
                request = BenchmarkRequest(min_runs=100, min_seconds=0.5) if self.settings.quick else BenchmarkRequest()
                reader = ConditionsReader(device.adb)
                journal.add(
                    measure_latency(
                        deployed, artifact, request, device.info, journal.run_id, self.progress, reader=reader
                    )
                )
        self._tell_device(name)

    def _profile(self, device: OpenDevice, artifact: Artifact, serving: RunnerOptions) -> None:
        found = measure_profile(device, artifact, serving, self.journal.run_id, self.progress)
        # Not every runner has a profiler.
        if found is not None:
            self.journal.add(found)

    def _tell_device(self, name: str) -> None:
        accuracy = next(r for r in reversed(self.journal.of(AccuracyOnDevice)) if r.artifact == name)
        latency = next(r for r in reversed(self.journal.of(Latency)) if r.artifact == name)
        p50 = f"p50 {latency.latency_us.p50:.0f} µs" if latency.latency_us else "no latency"
        self.progress.say(
            f"{name} on the device: {accuracy.accuracy:.1%} of the test images, labels as in process on "
            f"{accuracy.labels_equal} of {accuracy.labels_compared}, {p50}"
        )
