"""What a step of protected split learning costs beside a plain one: both in turns, in one process; and in two."""

from __future__ import annotations

from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from pydantic import JsonValue

from benchmarks.command import run_edgecat
from benchmarks.kept import known, once
from benchmarks.proof import Check, at_most
from benchmarks.theft.thefts import Data
from defense.protections import find_protection
from defense.split.halves import SplitSettings
from defense.split.training import Labelled, trainer_in_process
from victim.loaders import load

Raw = dict[str, JsonValue]

TIMED = ("none", "psgl", "aware", "nopeek:0.5")
ROUNDS = 9
BATCHES = 12


def measure(data: Data, work: Path, quick: bool) -> None:
    """Milliseconds of a step, client and server together, by round; and what crosses the channel between processes."""
    once(work / data.name, "cost", lambda: _measured(data, work, quick))


def collected(data: Data, work: Path) -> Raw | None:
    """What `work` holds of it."""
    return known(work / data.name, "cost")


def _measured(data: Data, work: Path, quick: bool) -> Raw:
    rounds: dict[str, list[float]] = {}
    for seed in range(2 if quick else ROUNDS):
        # In turns, so that the noise of a shared machine meets all.
        for name in TIMED:
            rounds.setdefault(name, []).append(_milliseconds(data, name, seed))
    ratios = {name: median(b / a for a, b in zip(rounds["none"], rounds[name], strict=True)) for name in TIMED}
    return {
        "step_ms": {name: [*values] for name, values in rounds.items()},
        "ratio": dict(ratios),
        "two_processes": {name: _crossing(data, name, work) for name in ("none", "psgl")},
    }


def checks(name: str, raw: dict[str, Any] | None) -> list[Check]:
    """The bound of the issue over what `measure` gave."""
    ratio = None if raw is None else raw["ratio"]["psgl"]
    return [at_most(f"{name}: a whole step of PSGL over a plain one", ratio, 1.5)]


def _milliseconds(data: Data, protection: str, seed: int) -> float:
    """Median over a few steps of a new network."""
    train = load(data.source).train
    settings = SplitSettings.for_images(len(train), 1)
    rows = np.arange(min(len(train), BATCHES * settings.batch))
    some = Labelled(train.images[rows], train.labels[rows])
    classes = int(train.labels.max()) + 1
    trainer = trainer_in_process(some, classes, find_protection(protection), settings, seed)
    trainer.run()
    costs = trainer.costs
    # The first steps build what the others find.
    steps = [client + server for client, server in zip(costs.client_ms, costs.server_ms, strict=True)][3:]
    return median(steps)


def _crossing(data: Data, protection: str, work: Path) -> JsonValue:
    out = work / data.name / "processes" / protection
    words = ["--data", data.source, "--protection", protection, "--out", str(out), "--epochs", "1", "--resume"]
    costs = run_edgecat(["defend", "psgl", "train", *words])["costs"]
    return {name: median(values) for name, values in costs.items()}
