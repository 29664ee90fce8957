"""Every open point of the paper, one at a time: a variant is trained for each, and each of its streams is tested."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from defense.psgl.decision import DecisionWeights, fuse
from defense.psgl.protection import PSGL
from defense.psgl.recovery import RecoverySettings
from defense.psgl.saliency import MapSettings
from defense.psgl.server import StreamServer
from defense.psgl.settings import ClientSettings, ServerSettings
from defense.split.halves import SplitSettings
from defense.split.model import SplitModel
from defense.split.protection import Protection
from defense.split.training import Labelled, Trainer, trainer_in_process
from foundation.progress import SILENT, Progress
from victim.dataset import Dataset
from victim.step import as_input

_TOGETHER = 64
_DECISIONS = {
    "paper": DecisionWeights(),
    "equal": DecisionWeights(1, 1, 1),
    "fused first": DecisionWeights(0.3, 0.5, 0.2),
}


@dataclass(frozen=True)
class Variant:
    """One setting of everything. `plain` is split learning without PSGL."""

    client: ClientSettings = field(default_factory=ClientSettings)
    server: ServerSettings = field(default_factory=ServerSettings)
    depth: int = 2
    plain: bool = False


def _mapped(kind: str = "raw", slopes: str = "own", label: str = "predicted") -> Variant:
    return Variant(ClientSettings(MapSettings(kind, label=label), slopes))  # type: ignore[arg-type]


def _recovering(threshold: float = 0.1, mu: float = 0.55, iterations: int = 10, keeps: str = "residual") -> Variant:
    return Variant(server=ServerSettings(RecoverySettings(threshold, mu, iterations, keeps)))  # type: ignore[arg-type]


VARIANTS: dict[str, Variant] = {
    "plain": Variant(plain=True),
    "default": Variant(),
    "lambda 0.02": _recovering(0.02),
    "lambda 0.3": _recovering(0.3),
    "1 iteration": _recovering(iterations=1),
    "1 iteration, mu 0.25": _recovering(mu=0.25, iterations=1),
    "low rank kept": _recovering(keeps="low_rank"),
    "depth 1": Variant(depth=1),
    "depth 4": Variant(depth=4),
    "true class": _mapped(label="true"),
    "slopes of head": _mapped(slopes="head"),
    "slopes of whole": _mapped(slopes="whole"),
    "normalised": _mapped("normalised"),
    "normalised, true class": _mapped("normalised", label="true"),
    "normalised, slopes of head": _mapped("normalised", "head"),
    "iterated": _mapped("iterated"),
    "streams learn from all": Variant(server=ServerSettings(stream_share=1.0)),
}


@dataclass(frozen=True)
class StreamAccuracies:
    """Shares of test images labelled rightly.

    Attributes:
        attacked: by that stream alone; None in plain split learning, as are the next two.
        recovered: by that stream alone.
        fused: by that stream alone.
        decisions: by the decision fusion, for each of several weights; of plain split learning `paper` alone, its own.
    """

    attacked: float | None
    recovered: float | None
    fused: float | None
    decisions: Mapping[str, float]


@dataclass(frozen=True)
class AblationRow:
    """One variant, trained once.

    Attributes:
        variant: its name.
        seed: of weights, order and augmentation.
        images: how many were tested.
        mapped: images attacked by their client at inference as in training.
        bare: images that leave with an empty map, as a device sends them: clean accuracy.
        moved: share of images of which the map changes the decision; 0 without maps.
        largest: mean over images of the largest entry of an image's map, in units of the pixel range.
        client_ms: median milliseconds of a training step on the client.
        server_ms: and on the server.
    """

    variant: str
    seed: int
    images: int
    mapped: StreamAccuracies
    bare: StreamAccuracies
    moved: float
    largest: float
    client_ms: float
    server_ms: float


def ablate(
    dataset: Dataset,
    settings: SplitSettings,
    seeds: Iterable[int],
    variants: Mapping[str, Variant] = VARIANTS,
    progress: Progress = SILENT,
) -> list[AblationRow]:
    """Train each variant with each seed, and test it on the test split.

    Args:
        dataset: trains on its train split.
        settings: of every training.
        seeds: one training each.
        variants: by name.
        progress: where to show it.

    Raises:
        DataError: something is no longer a number in a training.
    """
    seeds, rows = list(seeds), []
    with progress.task("PSGL's open points", len(seeds) * len(variants)) as advance:
        for seed in seeds:
            for name, variant in variants.items():
                rows.append(_row(dataset, settings, seed, name, variant))
                advance(1, name)
    return rows


def _row(dataset: Dataset, settings: SplitSettings, seed: int, name: str, variant: Variant) -> AblationRow:
    protection = Protection() if variant.plain else PSGL(variant.client, variant.server)
    trainer = _trained(dataset, protection, settings, seed, variant.depth)
    model = trainer.client.model.eval()
    x, y = as_input(dataset.test.images), torch.from_numpy(dataset.test.labels)
    mapped, largest = _streams(model, x), 0.0
    bare = mapped
    if isinstance(protection, PSGL):
        bare = _streams(SplitModel(model.client, model.server, protection.bare()), x)
        parts = [protection.attack(part, None, model)[1].amax((1, 2, 3)) for part in torch.split(x, _TOGETHER)]
        largest = float(torch.cat(parts).mean())
    moved = float((_decision(mapped, "paper") != _decision(bare, "paper")).float().mean())
    costs = trainer.costs
    return AblationRow(
        name,
        seed,
        len(y),
        _tested(mapped, y),
        _tested(bare, y),
        moved,
        largest,
        statistics.median(costs.client_ms),
        statistics.median(costs.server_ms),
    )


def _trained(dataset: Dataset, protection: Protection, settings: SplitSettings, seed: int, depth: int) -> Trainer:
    train = Labelled(dataset.train.images, np.asarray(dataset.train.labels))
    trainer = trainer_in_process(train, len(dataset.class_names), protection, settings, seed, depth=depth)
    trainer.run()
    return trainer


@torch.no_grad()
def _streams(model: SplitModel, x: Tensor) -> dict[str, Tensor]:
    """Probabilities [N, classes] of each stream; plain split learning is one called `plain`."""
    parts = []
    for images in torch.split(x, _TOGETHER):
        z, server = model.smashed(images), model.server
        logits = server.streams(z) if isinstance(server, StreamServer) else {"plain": server(z)}
        parts.append({name: part.softmax(1) for name, part in logits.items()})
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def _decision(streams: dict[str, Tensor], weights: str) -> Tensor:
    if "plain" in streams:
        return streams["plain"].argmax(1)
    mixed = fuse(streams["recovered"], streams["fused"], streams["attacked"], _DECISIONS[weights])
    return mixed.argmax(1)


def _tested(streams: dict[str, Tensor], y: Tensor) -> StreamAccuracies:
    def right(guessed: Tensor) -> float:
        return float((guessed == y).float().mean())

    alone = {name: right(probabilities.argmax(1)) for name, probabilities in streams.items()}
    weights = ["paper"] if "plain" in streams else list(_DECISIONS)
    decisions = {name: right(_decision(streams, name)) for name in weights}
    return StreamAccuracies(alone.get("attacked"), alone.get("recovered"), alone.get("fused"), decisions)
