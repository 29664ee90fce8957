"""Which layers int8 hurts, and the smallest file within a drop of accuracy."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgecat.quiet import log_output
from edgecat.stages.export import source_of
from export.recipes import CALIBRATION_IMAGES, Recipe
from foundation.errors import DataError
from foundation.progress import SILENT, Progress
from victim.checkpoint import Checkpoint
from victim.dataset import Dataset

if TYPE_CHECKING:
    from export.automatic import Tried

# Validation images: fewer say too little about a drop of a point.
LEAST_JUDGES = 50


def layer_table(checkpoint: Checkpoint, dataset: Dataset, progress: Progress = SILENT) -> list[dict[str, Any]]:
    """Each layer quantised alone, the worst first: its name, the rms of the logits' error, agreement."""
    from export.sensitivity import layer_sensitivities

    return [
        {"layer": one.layer, "relative_rms": one.rms, "agreement": one.agreement}
        for one in layer_sensitivities(source_of(checkpoint, dataset), CALIBRATION_IMAGES, progress)
    ]


def smallest_within(
    checkpoint: Checkpoint,
    dataset: Dataset,
    base: Recipe,
    most: float,
    directory: Path,
    log: Path,
    progress: Progress = SILENT,
) -> list[Tried]:
    """Every file that was tried, the chosen one last; see `export.automatic.choose`.

    Raises:
        DataError: too few validation images.
        CheckFailed: none is within the drop.
    """
    if len(dataset.val) < LEAST_JUDGES:
        raise DataError(f"{len(dataset.val)} validation images say too little about a drop of {most:.1%}")
    tried = []
    with log_output(log):
        from export.automatic import choose

        for one in choose(source_of(checkpoint, dataset), base, dataset.val, most, directory, progress):
            tried.append(one)
            progress.say(f"{base.name}, {one.told()}")
    return tried
