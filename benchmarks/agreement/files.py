"""The files that are timed: the default victim's network, untrained, by several recipes."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from export.exporting import Source, export
from export.recipes import find_recipe
from foundation.errors import ArtifactError
from foundation.files import sha256_bytes
from foundation.manifest import Artifact, load_artifact

_CLASSES, _CALIBRATION, _UNSEEN = 5, 200, 500


def make_files(recipes: Iterable[str], side: int, folder: Path) -> dict[str, Artifact]:
    """Export for images of `side` pixels what `folder` does not hold yet; artefacts by recipe."""
    source: Source | None = None
    found = {}
    for name in recipes:
        recipe = find_recipe(name)
        try:
            found[name] = load_artifact(folder / recipe.file_name, recipe.runtime)
        except ArtifactError:
            source = source or _source(side)
            found[name] = export(source, recipe, folder).artifact
    return found


def _source(side: int) -> Source:
    import torch

    from victim.models import ResidualCNN

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = ResidualCNN(1, _CLASSES).eval()
    images = np.random.default_rng(0).integers(0, 256, (_CALIBRATION + _UNSEEN, side, side, 1), np.uint8)
    names = tuple(f"class {k}" for k in range(_CLASSES))
    digest = sha256_bytes(b"benchmarks.agreement")
    return Source(network, (side, side, 1), names, digest, images[:_CALIBRATION], images[_CALIBRATION:])
