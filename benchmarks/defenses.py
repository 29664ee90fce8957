"""Every defence against the attacks that test it: split learning, answer policies, detection, ownership.

    python -m benchmarks.defenses --json [--quick] [--work DIR] [--record benchmarks/records/defenses.jsonl]

The full run takes hours: `--work` keeps what is done, and the same command goes on with it; with `--so-far` it measures
nothing more and gives what is there. The radiographs are those of EDGECAT_CHESTXRAY, or
`../shared/data/chestxray64.npz` beside the repository.
"""

from __future__ import annotations

import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from pydantic import JsonValue

from benchmarks.cores import on_cores, shares
from benchmarks.data import radiographs
from benchmarks.defence import cost, detection, policies, splits, watermark
from benchmarks.proof import Check, main
from benchmarks.theft.thefts import Data, victim

Raw = dict[str, JsonValue]


def measure(quick: bool) -> tuple[Raw, list[Check]]:
    """Run everything in a directory that goes afterwards; see the module."""
    with tempfile.TemporaryDirectory(prefix="edgecat-defenses-") as folder:
        return measure_in(quick, Path(folder))


def measure_in(quick: bool, work: Path) -> tuple[Raw, list[Check]]:
    """Run everything that `work` does not hold yet."""
    if quick:
        # What is smaller must not be taken for what is whole.
        work = work / "quick"
    sets = [] if quick else [Data("phantom", "phantom")]
    found = radiographs()
    if found is not None:
        sets.append(Data("chestxray64", str(found)))
    elif quick:
        sets = [Data("phantom", "phantom")]
    # What is timed, and what trains in this process, runs alone.
    alone = threading.Lock()

    def defended(data: Data, cores: frozenset[int]) -> None:
        on_cores(cores)
        model = victim(data, work)
        with alone:
            cost.measure(data, work, quick)
        splits.measure(data, work, 0, quick)
        policies.measure(data, model, work, quick)
        detection.measure(data, model, work, quick)
        with alone:
            watermark.measure(data, model, work, quick)
        for seed in range(1, 1 if quick else splits.SEEDS):
            splits.measure(data, work, seed, quick)

    with ThreadPoolExecutor(len(sets)) as aside:
        list(aside.map(defended, sets, shares(len(sets))))
    return _collected(sets, work, quick)


def so_far(work: Path) -> tuple[Raw, list[Check]]:
    """What `work` holds already, without measuring anything; bounds on the rest have no verdict."""
    return _collected([Data("phantom", "phantom"), Data("chestxray64", "")], work, quick=False)


def _collected(sets: list[Data], work: Path, quick: bool) -> tuple[Raw, list[Check]]:
    parts = {"cost": cost, "splits": splits, "policies": policies, "detection": detection, "watermark": watermark}
    raw: Raw = {data.name: {name: part.collected(data, work) for name, part in parts.items()} for data in sets}
    return raw, checks(raw, quick)


def checks(raw: dict[str, Any], quick: bool) -> list[Check]:
    """The bounds over what `measure` gave; a quick run stands for none but the step's cost."""
    found: list[Check] = []
    for name in ("phantom", "chestxray64"):
        done = raw.get(name, {})
        found += splits.checks(name, done.get("splits"), quick)
        found += cost.checks(name, done.get("cost"))
        found += policies.checks(name, done.get("policies"), quick)
        found += watermark.checks(name, done.get("watermark"), quick)
    return found


if __name__ == "__main__":
    sys.exit(
        main("defenses", measure, "Defences against the attacks that test them.", resumable=measure_in, so_far=so_far)
    )
