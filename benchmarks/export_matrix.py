"""Every precision on both runtimes: gates, sizes, accuracy, latency, thieves; each runtime's own road; hostile files.

    python -m benchmarks.export_matrix --json [--quick] [--work DIR] [--record benchmarks/records/export_matrix.jsonl]

The radiographs are those of EDGECAT_CHESTXRAY, or `../shared/data/chestxray64.npz` beside the repository.
"""

from __future__ import annotations

import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import JsonValue

from benchmarks.data import radiographs
from benchmarks.kept import known, once
from benchmarks.matrix import every, hostile, precisions, roads
from benchmarks.proof import Check, main
from benchmarks.theft.thefts import Data, victim
from victim.loaders import load

Raw = dict[str, JsonValue]


def measure(quick: bool) -> tuple[Raw, list[Check]]:
    """Run everything in a directory that goes afterwards; see the module."""
    with tempfile.TemporaryDirectory(prefix="edgecat-export-matrix-") as folder:
        return measure_in(quick, Path(folder))


def measure_in(quick: bool, work: Path) -> tuple[Raw, list[Check]]:
    """Run everything that `work` does not hold yet."""
    if quick:
        # What is smaller must not be taken for what is whole.
        work = work / "quick"
    sets = _sets(quick)
    for data in sets:
        victim(data, work)
        checkpoint = work / data.name / "victim.safetensors"
        once(work / data.name, "every", partial(every.measure, data, checkpoint, work, quick))
        once(work / data.name, "precisions", partial(precisions.measure, data, checkpoint, work, quick))
    # Of the first victim: latency and hostile files hang on the architecture alone.
    first = sets[0]
    dataset, files, checkpoint = load(first.source), work / first.name / "all", work / first.name / "victim.safetensors"
    once(work, "roads", partial(roads.measure, dataset, checkpoint, files, quick))
    once(work, "hostile", partial(hostile.measure, dataset, files, work, quick))
    return _collected(sets, work, quick)


def so_far(work: Path) -> tuple[Raw, list[Check]]:
    """What `work` holds already, without measuring anything; bounds on the rest have no verdict."""
    return _collected([Data("phantom", "phantom"), Data("chestxray64", "")], work, quick=False)


def _sets(quick: bool) -> list[Data]:
    found = radiographs()
    sets = [] if quick and found is not None else [Data("phantom", "phantom")]
    return sets if found is None else [*sets, Data("chestxray64", str(found))]


def _collected(sets: list[Data], work: Path, quick: bool) -> tuple[Raw, list[Check]]:
    parts = {data.name: known(work / data.name, "every") for data in sets}
    parts |= {f"{data.name}_precisions": known(work / data.name, "precisions") for data in sets}
    parts |= {name: known(work, name) for name in ("roads", "hostile")}
    raw: Raw = {name: part for name, part in parts.items() if part is not None}
    return raw, checks(raw, quick)


def checks(raw: dict[str, Any], quick: bool) -> list[Check]:
    """The bounds over what `measure` gave; a quick run stands for none of them."""
    found = [check for name in ("phantom", "chestxray64") for check in every.checks(name, raw.get(name), quick)]
    return [*found, *roads.checks(raw.get("roads"), quick), *hostile.checks(raw.get("hostile"), quick)]


if __name__ == "__main__":
    sys.exit(
        main(
            "export_matrix",
            measure,
            "Every precision on both runtimes, and hostile files.",
            resumable=measure_in,
            so_far=so_far,
        )
    )
