"""Models whose answers mean nothing: what it costs to ask one does not depend on its weights."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from export.recipes import find_recipe
from foundation.errors import ArtifactError
from foundation.manifest import Artifact, load_artifact

if TYPE_CHECKING:
    from export.exporting import Source

_CLASSES = 4
# To calibrate with, and as many as the parity gate asks for.
_CALIBRATION, _UNSEEN = 128, 500


def untrained(
    folder: Path, architecture: str, shape: tuple[int, int, int], recipes: Iterable[str] = ("tflite_int8",)
) -> dict[str, Artifact]:
    """Export a network with random weights by each of some recipes; what `folder` holds already stays.

    Args:
        folder: for the files, which their recipes alone tell apart; made if need be.
        architecture: as `victim.models.build` takes it.
        shape: of an image: height, width, channels.
        recipes: names.

    Returns:
        Artefacts by recipe.
    """
    source: Source | None = None
    found = {}
    for recipe in map(find_recipe, recipes):
        try:
            found[recipe.name] = load_artifact(folder / recipe.file_name, recipe.runtime)
        except ArtifactError:
            from export.exporting import export

            folder.mkdir(parents=True, exist_ok=True)
            source = source or _source(architecture, shape)
            found[recipe.name] = export(source, recipe, folder).artifact
    return found


def _source(architecture: str, shape: tuple[int, int, int]) -> Source:
    import torch

    from export.exporting import Source
    from victim.models import build

    network = build(architecture, shape[2], _CLASSES, torch.Generator().manual_seed(0)).eval()
    images = np.random.default_rng(0).integers(0, 256, (_CALIBRATION + _UNSEEN, *shape), np.uint8)
    names = tuple(f"class {k}" for k in range(_CLASSES))
    # Of no checkpoint.
    return Source(network, shape, names, "0" * 64, images[:_CALIBRATION], images[_CALIBRATION:])
