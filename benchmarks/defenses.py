"""Every defence against the attacks that test it: split learning, answer policies, detection, ownership.

    python -m benchmarks.defenses --json [--quick] [--work DIR] [--record benchmarks/records/defenses.jsonl]

The full run takes hours: `--work` keeps what is done, and the same command goes on with it. The radiographs are those
of EDGECAT_CHESTXRAY, or `../shared/data/chestxray64.npz` beside the repository.
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
from benchmarks.defence import cost, detection, policies, splits
from benchmarks.proof import Check, main
from benchmarks.theft.thefts import Data, victim

Raw = dict[str, JsonValue]


def measure(quick: bool) -> tuple[Raw, list[Check]]:
    """Run everything in a directory that goes afterwards; see the module."""
    with tempfile.TemporaryDirectory(prefix="edgecat-defenses-") as folder:
        return measure_in(quick, Path(folder))


def measure_in(quick: bool, work: Path) -> tuple[Raw, list[Check]]:
    """Run everything that `work` does not hold yet."""
    sets = [] if quick else [Data("phantom", "phantom")]
    found = radiographs()
    if found is not None:
        sets.append(Data("chestxray64", str(found)))
    elif quick:
        sets = [Data("phantom", "phantom")]
    # What is timed, and what trains in this process, runs alone.
    alone = threading.Lock()

    def defended(data: Data, cores: frozenset[int]) -> Raw:
        on_cores(cores)
        model = victim(data, work)
        done: Raw = {
            "splits": splits.measure(data, work, quick),
            "policies": policies.measure(data, model, work, quick),
            "detection": detection.measure(data, model, work, quick),
        }
        with alone:
            done["watermark"] = detection.measure_watermark(data, model, quick)
            done["cost"] = cost.measure(data, work, quick)
        return done

    with ThreadPoolExecutor(len(sets)) as aside:
        done = aside.map(defended, sets, shares(len(sets)))
        raw: Raw = dict(zip((data.name for data in sets), done, strict=True))
    return raw, checks(raw, quick)


def checks(raw: dict[str, Any], quick: bool) -> list[Check]:
    """The bounds over what `measure` gave; a quick run stands for none but the step's cost."""
    found: list[Check] = []
    for name in ("phantom", "chestxray64"):
        done = raw.get(name, {})
        found += splits.checks(name, done.get("splits"), quick)
        found += cost.checks(name, done.get("cost"))
        found += policies.checks(name, done.get("policies"), quick)
        found += detection.checks(name, done.get("watermark"), quick)
    return found


if __name__ == "__main__":
    sys.exit(main("defenses", measure, "Defences against the attacks that test them.", resumable=measure_in))
