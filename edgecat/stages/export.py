"""Export a victim by recipes, with the parity gate."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from benchmarks.records import ArtifactRecord, LayerError, Parity, RuntimeParity
from edge.deployment import deploy
from edge.devices.opening import OpenDevice
from edgecat.quiet import log_output
from edgecat.stages.data import parity_images
from export.parity import demand
from export.recipes import Recipe
from foundation.errors import ArtifactError, CheckFailed
from foundation.manifest import Artifact
from foundation.progress import SILENT, Progress
from victim.checkpoint import Checkpoint, header_for
from victim.dataset import Dataset

if TYPE_CHECKING:
    from export.exporting import Exported, Source
    from export.networks import Foreign


def export_victim(
    checkpoint: Checkpoint,
    dataset: Dataset,
    recipes: tuple[Recipe, ...],
    directory: Path,
    run_id: str,
    log: Path,
    progress: Progress = SILENT,
    *,
    elsewhere: OpenDevice | None = None,
    left_out: dict[str, str] | None = None,
    layers: bool = False,
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
        elsewhere: ask this device too, and the older TFLite runtime if it is set up; see `export.across`.
        left_out: recipes that the network is nothing for, and why, are put here; None: the first is an error.
        layers: look at every layer even if the gate holds.

    Yields:
        the artefact and its record, whether or not the gate holds: see `gate`.
    """
    if not recipes:
        # The exporters take ten seconds to load.
        return
    with log_output(log):
        source = source_of(checkpoint, dataset)
    with progress.task("exporting", len(recipes)) as advance:
        for recipe in recipes:
            advance(0, recipe.name)
            try:
                with log_output(log):
                    from export.exporting import export

                    exported = export(source, recipe, directory, layers=layers)
            except ArtifactError as error:
                if left_out is None:
                    raise
                left_out[recipe.name] = error.message
                advance(1)
                continue
            asked = [] if elsewhere is None else list(_elsewhere(exported, source.unseen, recipe, elsewhere, progress))
            record = record_of(exported, run_id, asked)
            advance(1)
            yield exported.artifact, record


def source_of(checkpoint: Checkpoint, dataset: Dataset) -> Source:
    """What is exported: training images calibrate it, unseen ones judge it."""
    from export.exporting import Source

    return Source(
        checkpoint.network,
        dataset.image_shape,
        dataset.class_names,
        checkpoint.sha256,
        dataset.train.images,
        parity_images(dataset),
        checkpoint.header.architecture or None,
    )


def record_of(exported: Exported, run_id: str, asked: Sequence[RuntimeParity] = ()) -> ArtifactRecord:
    """An exported file as a record, with what other runtimes answered."""
    manifest, parity = exported.artifact.manifest, asdict(exported.parity)
    del parity["exported_rms"]
    return ArtifactRecord(
        run_id=run_id,
        name=manifest.name,
        runtime=manifest.runtime,
        precision=manifest.precision,
        recipe=manifest.recipe,
        bytes=manifest.bytes,
        sha256=manifest.sha256,
        seconds_export=exported.seconds,
        parity=Parity(**parity, ok=exported.parity.ok),
        elsewhere=list(asked),
        layers=[LayerError(**asdict(one)) for one in exported.layers],
    )


def foreign_victim(foreign: Foreign, dataset: Dataset) -> Checkpoint:
    """Somebody's network as a victim that can be exported for a data set, which it may have been trained on or not.

    Raises:
        UsageError, ArtifactError: see `export.networks.load_network`.
    """
    from export.networks import load_network

    network, digest = load_network(foreign, dataset.image_shape, len(dataset.class_names))
    # A program does not tell what made it.
    architecture = foreign.source if foreign.weights is not None else ""
    return Checkpoint(network, header_for(dataset, architecture, seconds=0.0), digest)


def accuracy_on(artifact: Artifact, dataset: Dataset, device: OpenDevice, progress: Progress = SILENT) -> float:
    """Share of the test images that a file names rightly on a device: what a wrong mean or layout would spoil."""
    with deploy(device, artifact, progress=progress) as model:
        named = model.query(dataset.test.images).top1()
    return float((named == dataset.test.labels).mean())


def gate(record: ArtifactRecord) -> None:
    """The parity gate over a record.

    Raises:
        CheckFailed: a bound of the recipe does not hold.
    """
    demand(record.parity, record.name, record.parts_at)
    for one in record.elsewhere:
        if not one.ok:
            raise CheckFailed(
                f"{record.name} is answered for wrongly by {one.engine} ({one.device_kind}): agreement "
                f"{one.agreement:.4f} (at least {record.parity.min_agreement}), rms of the logits {one.rms:.3g}"
                f"{'' if one.parts_at is None else f'; it parts at layer {one.parts_at}'}",
                hint="a device with that runtime would tell nonsense: choose another recipe for it",
            )


def _elsewhere(
    exported: Exported, images: NDArray[np.uint8], recipe: Recipe, device: OpenDevice, progress: Progress
) -> Iterator[RuntimeParity]:
    from export.across import ask_elsewhere

    for one in ask_elsewhere(exported.artifact, exported.eager, exported.logits, images, recipe, device, progress):
        yield RuntimeParity(**asdict(one))
