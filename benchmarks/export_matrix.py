"""Every precision on both runtimes: gates, sizes, accuracy, latency, thieves; each runtime's own road; hostile files.

    python -m benchmarks.export_matrix --json [--quick] [--work DIR] [--record benchmarks/records/export_matrix.jsonl]

The radiographs are those of EDGECAT_CHESTXRAY, or `../shared/data/chestxray64.npz` beside the repository.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

from pydantic import JsonValue

from benchmarks.data import radiographs
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
    """Run everything; victims and the runs over their files are kept in `work`."""
    if quick:
        # What is smaller must not be taken for what is whole.
        work = work / "quick"
    found = radiographs()
    sets = [] if quick and found is not None else [Data("phantom", "phantom")]
    if found is not None:
        sets.append(Data("chestxray64", str(found)))
    raw: Raw = {}
    for data in sets:
        victim(data, work)
        checkpoint = work / data.name / "victim.safetensors"
        raw[data.name] = every.measure(data, checkpoint, work, quick)
        raw[f"{data.name}_precisions"] = precisions.measure(data, checkpoint, work, quick)
    # Of the first victim: latency and hostile files hang on the architecture alone.
    data = sets[0]
    dataset, files = load(data.source), work / data.name / "all"
    raw["roads"] = roads.measure(dataset, work / data.name / "victim.safetensors", files, quick)
    raw["hostile"] = hostile.measure(dataset, files, work, quick)
    return raw, checks(raw, quick)


def checks(raw: dict[str, Any], quick: bool) -> list[Check]:
    """The bounds over what `measure` gave; a quick run stands for none of them."""
    found = [check for name in ("phantom", "chestxray64") for check in every.checks(name, raw.get(name), quick)]
    return [*found, *roads.checks(raw.get("roads"), quick), *hostile.checks(raw.get("hostile"), quick)]


if __name__ == "__main__":
    sys.exit(
        main("export_matrix", measure, "Every precision on both runtimes, and hostile files.", resumable=measure_in)
    )
