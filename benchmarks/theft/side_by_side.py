"""Ours beside ART's CopycatCNN and KnockoffNets: the same pool, thief's network, device and epochs.

The device serves both; ART sees top-1 classes in one-hot rows. What is done stands in `WORK/DATA/art.jsonl`, one line a
thief, and is not done again.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import mean, median
from typing import Any

import numpy as np
import torch
from pydantic import JsonValue
from torch import nn

from attack.copycat import Lesson, settings_for, train_copycat
from attack.fidelity import measure_fidelity
from attack.oracle import Oracle
from benchmarks.kept import known, once
from benchmarks.proof import Check, at_least
from benchmarks.theft.peers import BATCH, PeerTheft, art_copycat, art_knockoff
from benchmarks.theft.thefts import Data
from edge.deployment import deploy
from edge.devices.opening import open_device
from foundation.manifest import load_artifact
from victim.dataset import Dataset, Split
from victim.loaders import load
from victim.training import predict

ARCHITECTURE = "stacked"
EPOCHS = 20
SEEDS = 3
POOL = 8000
# For the wall clock: equal images and epochs; fewer where ART takes its time.
TIMED_IMAGES = 2000
TIMED_ROUNDS = 3
AS_IT_COMES_IMAGES, AS_IT_COMES_EPOCHS = 500, 4
RANDOM, ADAPTIVE = "knockoff random", "knockoff adaptive"
TIMED = (f"CopycatCNN, batches of {BATCH}", "CopycatCNN as it comes, batches of 1", "KnockoffNets adaptive")

_CLOCK = "wall clock"

Raw = dict[str, JsonValue]


def measure(data: Data, model: Path, work: Path, quick: bool) -> Raw:
    """ART's thieves against one victim, and who is faster at the same work."""
    dataset, pool = _data(data, 500 if quick else POOL)
    with open_device("embedded") as opened, deploy(opened, load_artifact(model)) as oracle:
        bench = _Bench(dataset, pool, oracle, work / data.name / "art.jsonl")
        budgets = [len(pool)] if data.name != "phantom" or quick else [2000, POOL]
        thieves = [
            bench.thief(peer, budget, seed, EPOCHS if not quick else 2)
            for peer in ("copycat", RANDOM, ADAPTIVE)
            # With hard labels it is CopycatCNN to the last weight: the smaller budget shows it.
            for budget in (budgets[:1] if peer == RANDOM else budgets)
            for seed in range(1 if quick else SEEDS)
        ]
        count = min(len(pool), 200 if quick else TIMED_IMAGES)
        once(work / data.name, _CLOCK, partial(bench.clock, count, *((2, 1) if quick else (EPOCHS, TIMED_ROUNDS))))
        return {"pool": len(pool), "thieves": thieves, "wall_clock": known(work / data.name, _CLOCK)}


def collected(data: Data, work: Path) -> Raw | None:
    """What `work` holds of ART's thieves and of the wall clocks; None: nothing yet."""
    record = work / data.name / "art.jsonl"
    if not record.is_file():
        return None
    thieves = [json.loads(line) for line in record.read_text().splitlines()]
    return {"thieves": thieves, "wall_clock": known(work / data.name, _CLOCK)}


def checks(raw: dict[str, Any], quick: bool) -> list[Check]:
    """The bounds over a benchmark's raw figures."""
    art = {name: raw["art"].get(name) for name in ("phantom", "chestxray64")}
    ours, theirs = _best_of_ours(raw), _best(art["phantom"], POOL)
    hundred = [t["fidelity"] for t in _thieves(raw, "chestxray64", "hundred") if t["budget"] == 50_000]
    chest = _best(art["chestxray64"], None)
    full = not quick
    return [
        at_least(
            "phantom's proxy pool: ours with 2,000 queries less ART's best with 8,000, fidelity",
            ours - theirs if full and ours is not None and theirs is not None else None,
            0.0,
        ),
        at_least(
            "chestxray64: ours with 100 images less ART's best with the whole half, fidelity",
            mean(hundred) - chest if full and hundred and chest is not None else None,
            0.0,
        ),
        *(
            at_least(
                f"{name}: wall clock of ART's {timed} over ours, equal images and epochs",
                None if quick or found is None or found["wall_clock"] is None else found["wall_clock"][timed]["ratio"],
                5.0,
            )
            for name, found in art.items()
            for timed in TIMED
        ),
    ]


def _thieves(raw: dict[str, Any], data: str, plan: str) -> list[dict[str, Any]]:
    return list(raw.get(data, {}).get(plan, {}).get("thieves", []))


def _best_of_ours(raw: dict[str, Any]) -> float | None:
    """Highest mean fidelity over the seeds of a strategy of ours, at 2,000 queries of the phantom's proxy pool."""
    found = [t for plan in ("active", "proxy", "semi") for t in _thieves(raw, "phantom", plan) if t["budget"] == 2000]
    kinds = {(t["strategy"], t["learner"]) for t in found}
    means = [mean(t["fidelity"] for t in found if (t["strategy"], t["learner"]) == kind) for kind in kinds]
    return max(means, default=None)


def _best(art: dict[str, Any] | None, budget: int | None) -> float | None:
    """Highest mean fidelity of ART's attacks, at one budget or at any."""
    if art is None:
        return None
    found = [t for t in art["thieves"] if budget in (None, t["budget"])]
    return max(
        (mean(t["fidelity"] for t in found if t["peer"] == peer) for peer in {t["peer"] for t in found}), default=None
    )


def _data(data: Data, count: int) -> tuple[Dataset, Split]:
    """The data set and the pool: another hospital's images on the phantom, the thief's whole half otherwise."""
    dataset = load(data.source)
    if data.name != "phantom":
        return dataset, dataset.thief
    from victim.phantom import proxy_images

    return dataset, proxy_images(count, 0)


class _Bench:
    """One victim on its device, the pool, and what is on record."""

    def __init__(self, dataset: Dataset, pool: Split, oracle: Oracle, record: Path) -> None:
        self.dataset, self.pool, self.oracle, self.record = dataset, pool, oracle, record
        self.answers = oracle.query(dataset.test.images).top1()

    def thief(self, peer: str, budget: int, seed: int, epochs: int) -> JsonValue:
        """One of ART's thieves, from the record or now."""
        key: Raw = {"peer": peer, "budget": budget, "seed": seed, "epochs": epochs, "pool": len(self.pool)}
        lines = self.record.read_text().splitlines() if self.record.is_file() else []
        for line in lines:
            found: dict[str, JsonValue] = json.loads(line)
            if all(found[name] == value for name, value in key.items()):
                return found
        theft = self._steal(peer, budget, seed, epochs)
        kept = ("queries", "distinct", "seconds_query", "seconds")
        made: Raw = {**key, **self._measured(theft.network), **{name: getattr(theft, name) for name in kept}}
        with self.record.open("a") as stream:
            stream.write(json.dumps(made) + "\n")
        return made

    def clock(self, count: int, epochs: int, rounds: int) -> Raw:
        """Wall clock of whole thefts, ours and ART's in turns: `count` images asked, the same epochs.

        ART in its default batches of 1 is given fewer images and epochs, and so is ours beside it.
        """
        torch.set_num_threads(1)
        few = min(count, AS_IT_COMES_IMAGES), min(epochs, AS_IT_COMES_EPOCHS)
        timed = (
            self._timed(count, epochs, rounds, self._copycat),
            self._timed(*few, rounds, partial(self._copycat, batch=1)),
            self._timed(count, epochs, rounds, self._knockoff),
        )
        return dict(zip(TIMED, timed, strict=True))

    def _timed(self, count: int, epochs: int, rounds: int, theirs: Callable[[int, int, int], PeerTheft]) -> JsonValue:
        """Seconds of each round; the median over rounds of their ratio."""
        ours: list[float] = []
        art: list[float] = []
        for seed in range(rounds):
            ours.append(_seconds(lambda seed=seed: self._ours(count, epochs, seed)))  # type: ignore[misc]
            art.append(theirs(count, epochs, seed).seconds)
        ratio = median(b / a for a, b in zip(ours, art, strict=True))
        return {"images": count, "epochs": epochs, "ours": [*ours], "art": [*art], "ratio": ratio}

    def _copycat(self, count: int, epochs: int, seed: int, batch: int = BATCH) -> PeerTheft:
        images = self.pool.images[:count]
        return art_copycat(self.oracle, images, count, ARCHITECTURE, epochs, seed, batch=batch)

    def _knockoff(self, count: int, epochs: int, seed: int) -> PeerTheft:
        images, labels = self.pool.images[:count], self.pool.labels[:count]
        return art_knockoff(self.oracle, images, count, ARCHITECTURE, epochs, seed, sampling="adaptive", labels=labels)

    def _ours(self, count: int, epochs: int, seed: int) -> nn.Module:
        images = self.pool.images[:count]
        settings = replace(settings_for(count), epochs=epochs, batch=BATCH)
        lesson = Lesson(((images, self.oracle.query(images)),))
        return train_copycat(lesson, ARCHITECTURE, seed, settings=settings).network

    def _steal(self, peer: str, budget: int, seed: int, epochs: int) -> PeerTheft:
        images = self.pool.images
        torch.set_num_threads(1)
        if peer == "copycat":
            return art_copycat(self.oracle, images, budget, ARCHITECTURE, epochs, seed)
        adaptive = peer == ADAPTIVE
        return art_knockoff(
            self.oracle,
            images,
            budget,
            ARCHITECTURE,
            epochs,
            seed,
            sampling="adaptive" if adaptive else "random",
            labels=self.pool.labels if adaptive else None,
        )

    def _measured(self, network: nn.Module) -> dict[str, JsonValue]:
        test = self.dataset.test
        thief = predict(network, test.images).argmax(1).astype(np.int64)
        found = measure_fidelity(thief, self.answers, test.labels)
        return {
            "fidelity": found.fidelity,
            "accuracy": found.accuracy,
            "relative_accuracy": found.relative_accuracy,
            "macro_f1_ratio": found.macro_f1_ratio,
        }


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
