"""A model whose answers mean nothing: what it costs to ask it does not depend on its weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from foundation.manifest import Artifact


def random_model(folder: Path, architecture: str, shape: tuple[int, int, int]) -> Artifact:
    """One of our networks with random weights and four classes, as int8 `.tflite`.

    Args:
        folder: for the file; made if need be.
        architecture: of `victim.models`.
        shape: of an image: height, width, channels.
    """
    import torch

    from export.exporting import Source, export
    from export.recipes import find_recipe
    from victim.models import build

    torch.set_num_threads(1)
    folder.mkdir(parents=True, exist_ok=True)
    network = build(architecture, shape[2], 4, torch.Generator().manual_seed(0)).eval()
    images = np.random.default_rng(2).integers(0, 256, (628, *shape), np.uint8)
    source = Source(network, shape, ("a", "b", "c", "d"), "0" * 64, images[:128], images[128:])
    return export(source, find_recipe("tflite_int8"), folder).artifact
