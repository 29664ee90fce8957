"""A watermark's proof: a thief of marked answers and one of true answers before the owner's verification."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue
from torch import nn

from attack.copycat import Lesson, train_copycat
from attack.oracle import Oracle
from attack.pools import find_pool
from attack.strategies.amplify import grown
from benchmarks.kept import known, once
from benchmarks.proof import Check, at_least, at_most
from benchmarks.theft.thefts import Data
from defense.ownership.oracle import WatermarkedOracle
from defense.ownership.verification import BITS, verify
from defense.ownership.watermark import Watermark
from edge.deployment import deploy
from edge.devices.opening import open_device
from foundation.manifest import load_artifact
from victim.loaders import load
from victim.training import predict

Raw = dict[str, JsonValue]

# Of the answers, on average: so many that no more than 0.5 % are altered in a session either.
MARKED, RATE = 16_000, 0.004


def measure(data: Data, model: Path, work: Path, quick: bool) -> None:
    """Both thieves learn from answers to the same images, variants of 100 of the domain's own."""
    once(work / data.name, "watermark", lambda: _measured(data, model, quick))


def collected(data: Data, work: Path) -> Raw | None:
    """What `work` holds of it."""
    return known(work / data.name, "watermark")


def _measured(data: Data, model: Path, quick: bool) -> Raw:
    dataset, count = load(data.source), 2_000 if quick else MARKED
    images = grown(find_pool("pd:100", dataset, 0), count, 0).take(np.arange(count))
    with open_device("embedded") as opened, deploy(opened, load_artifact(model)) as deployed:
        marked = WatermarkedOracle(deployed, Watermark(secrets.token_bytes(32), RATE))
        effort = 0.02 if quick else 1.0
        copies = {"copy": _stolen(marked, images, effort), "innocent": _stolen(deployed, images, effort)}
        reference = deployed.query(dataset.test.images).top1()
    registered = marked.registered()
    labels = {name: predict(network, registered.images).argmax(1) for name, network in copies.items()}
    judged = {name: verify(own, registered, marked.watermark.key) for name, own in labels.items()}
    fidelity = {name: _fidelity(network, dataset.test.images, reference) for name, network in copies.items()}
    return {
        "queries": len(images),
        "altered": len(registered),
        "rate": len(registered) / len(images),
        **{
            name: {"agreements": one.agreements, "bits": one.bits, "verdict": one.verdict, "fidelity": fidelity[name]}
            for name, one in judged.items()
        },
    }


def checks(name: str, raw: dict[str, Any] | None, quick: bool) -> list[Check]:
    """The bounds on the watermark."""
    rate, copy, innocent = (
        (None, None, None) if raw is None or quick else (raw["rate"], raw["copy"]["bits"], raw["innocent"]["bits"])
    )
    return [
        at_most(f"{name}: answers that the watermark alters", rate, 0.005),
        at_least(f"{name}: bits of proof against a copy", copy, BITS),
        at_most(f"{name}: bits of proof against an innocent model", innocent, 10.0),
    ]


def _stolen(oracle: Oracle, images: NDArray[np.uint8], effort: float) -> nn.Module:
    lesson = Lesson(((images, oracle.query(images)),), varies=True, effort=effort)
    return train_copycat(lesson, "stacked", 0).network


def _fidelity(network: nn.Module, images: NDArray[np.uint8], reference: NDArray[np.int64]) -> float:
    return float((predict(network, images).argmax(1) == reference).mean())
