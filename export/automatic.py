"""The smallest file within a drop of accuracy: int8, and where that costs too much, its worst layers in float32."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.exporting import Exported, Source, export
from export.parity import runtime_classifier, runtime_logits
from export.recipes import SPARING, Recipe
from export.sensitivity import layer_sensitivities
from foundation.errors import CheckFailed, UsageError
from foundation.manifest import Artifact
from foundation.progress import SILENT, Progress
from victim.dataset import Split
from victim.training import predict

# Inferences that are timed.
_TIMED = 50


@dataclass(frozen=True)
class Tried:
    """One file.

    Attributes:
        exported: it.
        float_layers: that were left float32.
        accuracy: share of the judging images that it names rightly, in its runtime in this process.
        drop: what the float network has more.
        p50_us: median of an inference, microseconds, in this process on one thread, Python's overhead included: to
            compare files with each other.
    """

    exported: Exported
    float_layers: tuple[str, ...]
    accuracy: float
    drop: float
    p50_us: float

    def document(self) -> dict[str, Any]:
        """For JSON."""
        told = {name: getattr(self, name) for name in ("accuracy", "drop", "p50_us")}
        return {"float_layers": list(self.float_layers), "bytes": self.exported.artifact.manifest.bytes, **told}

    def told(self) -> str:
        """In words."""
        return (
            f"{len(self.float_layers)} layers in float32: {self.exported.artifact.manifest.bytes:,} bytes, "
            f"{self.accuracy:.1%} ({100 * self.drop:+.2f} points lost), {self.p50_us:.0f} us here"
        )


def choose(
    source: Source,
    base: Recipe,
    judges: Split,
    most: float,
    directory: Path,
    progress: Progress = SILENT,
) -> Iterator[Tried]:
    """Export int8, then with ever more of the layers that suffer most in float32, until a file is within the drop.

    Layers go to float32 by ones, twos, fours: each step costs an export. The last file that is given is the choice: the
    first one, so the one with the fewest float layers of those tried, that is within the drop.

    Args:
        source: the network.
        base: a recipe that can spare layers (`Recipe.spares`), and spares none yet.
        judges: labelled images that were neither trained nor calibrated on; not the test split: that judges the choice.
        most: highest drop of accuracy, as a share (0.01 is a point).
        directory: of the files: a file takes the place of the one before.
        progress: where to show it.

    Raises:
        UsageError: a recipe without ranges to set.
        CheckFailed: not even with all layers in float32: activations alone cost more.
    """
    if not base.spares or base.float_layers:
        raise UsageError(f"{base.name} has no layers to choose from", hint=f"use {' or '.join(SPARING)}")
    wanted = _right(predict(source.network, judges.images), judges)
    layers: list[str] | None = None
    spared = 0
    while True:
        chosen = tuple((layers or [])[:spared])
        tried = _tried(source, base, chosen, judges, wanted, directory)
        yield tried
        if tried.drop <= most:
            return
        if layers is None:
            layers = [one.layer for one in layer_sensitivities(source, base.calibration_images, progress)]
        if spared == len(layers):
            raise CheckFailed(
                f"{base.name} drops {tried.drop:.2%} of accuracy with every layer in float32, more than {most:.2%}",
                hint=f"use {base.runtime}_fp16 or {base.runtime}_fp32",
            )
        spared = min(len(layers), max(1, 2 * spared))


def _tried(
    source: Source, base: Recipe, layers: tuple[str, ...], judges: Split, wanted: float, directory: Path
) -> Tried:
    recipe = Recipe.model_validate(base.model_dump() | {"name": f"{base.name}_auto", "float_layers": layers})
    exported = export(source, recipe, directory)
    accuracy = _right(runtime_logits(exported.artifact, judges.images), judges)
    return Tried(exported, layers, accuracy, wanted - accuracy, _p50(exported.artifact, judges.images))


def _right(logits: NDArray[np.float32], judges: Split) -> float:
    return float((logits.argmax(1) == judges.labels).mean())


def _p50(artifact: Artifact, images: NDArray[np.uint8]) -> float:
    classifier = runtime_classifier(artifact)
    times = []
    for _ in range(_TIMED):
        start = time.perf_counter()
        classifier.logits(images[:1])
        times.append(time.perf_counter() - start)
    return 1e6 * median(times)
