"""Export a victim by recipes, with the parity gate."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from benchmarks.records import ArtifactRecord, Parity
from edgecat.quiet import log_output
from edgecat.stages.data import parity_images
from export.parity import demand
from export.recipes import Recipe
from foundation.manifest import Artifact
from foundation.progress import SILENT, Progress
from victim.checkpoint import Checkpoint
from victim.dataset import Dataset


def export_victim(
    checkpoint: Checkpoint,
    dataset: Dataset,
    recipes: tuple[Recipe, ...],
    directory: Path,
    run_id: str,
    log: Path,
    progress: Progress = SILENT,
) -> Iterator[tuple[Artifact, ArtifactRecord]]:
    """Export by each recipe in turn.

    Args:
        checkpoint: the victim.
        dataset: its first training images calibrate, test and thief hold the result against the network.
        recipes: what to make.
        directory: where model files and manifests go.
        run_id: for the records.
        log: file for what the exporters print.
        progress: where to show it.

    Yields:
        the artefact and its record, whether or not the gate holds: see `gate`.
    """
    with progress.task("exporting", len(recipes)) as advance:
        for recipe in recipes:
            advance(0, recipe.name)
            with log_output(log):
                from export.exporting import Source, export

                source = Source(
                    checkpoint.network,
                    dataset.image_shape,
                    dataset.class_names,
                    checkpoint.sha256,
                    dataset.train.images,
                    parity_images(dataset),
                    checkpoint.header.architecture,
                )
                exported = export(source, recipe, directory)
            manifest, parity = exported.artifact.manifest, asdict(exported.parity)
            del parity["exported_rms"]
            record = ArtifactRecord(
                run_id=run_id,
                name=manifest.name,
                runtime=manifest.runtime,
                precision=manifest.precision,
                recipe=manifest.recipe,
                bytes=manifest.bytes,
                sha256=manifest.sha256,
                seconds_export=exported.seconds,
                parity=Parity(**parity, ok=exported.parity.ok),
            )
            advance(1)
            yield exported.artifact, record


def gate(record: ArtifactRecord) -> None:
    """The parity gate over a record.

    Raises:
        CheckFailed: a bound of the recipe does not hold.
    """
    demand(record.parity, record.name)
