"""`edgecat attack`: steal a model file that somebody exported, without walking the rest of the road."""

from __future__ import annotations

from pathlib import Path

from benchmarks.summary import Summary
from edge.deployment import deploy
from edge.devices.opening import open_device
from edgecat.campaign import Campaign
from edgecat.context import describe_run
from edgecat.directory import RunDirectory
from edgecat.journal import Journal
from edgecat.settings import RunSettings
from edgecat.stages.data import load_dataset
from edgecat.stages.device import describe_device, measure_accuracy
from foundation.errors import EdgecatError
from foundation.manifest import Artifact
from foundation.progress import SILENT, Progress


def attack_model(
    artifact: Artifact,
    settings: RunSettings,
    directory: Path,
    key: Path | None,
    progress: Progress = SILENT,
) -> Summary:
    """Measure the model on the test split, on the device, then steal it there.

    Raises:
        EdgecatError: whatever went wrong; the directory can be given again.
    """
    dataset = load_dataset(settings, progress)
    place = RunDirectory(directory)
    try:
        journal = Journal(place, progress)
        campaign = Campaign(settings, journal, dataset, artifact.manifest.victim_architecture, progress)
    except EdgecatError:
        place.forget_unbegun()
        raise
    with place.locked(), open_device(settings.device, key) as opened:
        with deploy(
            opened, artifact, options=settings.serving(artifact.manifest.runtime), progress=progress
        ) as deployed:
            campaign.check_ledger(deployed.identity)
            journal.add(describe_run(settings, journal.run_id))
            journal.add(describe_device(opened.info, journal.run_id))
            journal.add(measure_accuracy(deployed, artifact, dataset, opened.info, journal.run_id))
        campaign.steal(opened, artifact)
    return journal.report(dataset)
