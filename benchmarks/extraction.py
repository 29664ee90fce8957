"""What a thief can copy from the device, against the bounds, and beside ART.

    python -m benchmarks.extraction --json [--quick] [--work DIR] [--record benchmarks/records/extraction.jsonl]

The full run takes hours: `--work` keeps what is done, and the same command goes on with it; with `--so-far` it measures
nothing more and gives what is there. The radiographs are those
of EDGECAT_CHESTXRAY, or `../shared/data/chestxray64.npz` beside the repository.
"""

from __future__ import annotations

import itertools
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import mean
from typing import Any

from pydantic import JsonValue

from benchmarks.cores import on_cores, shares
from benchmarks.data import radiographs
from benchmarks.kept import known, once
from benchmarks.proof import Check, at_least, at_most, main
from benchmarks.theft import million, side_by_side
from benchmarks.theft.thefts import Data, Plan, collected, send, victim, victim_facts
from edge.deployment import deploy
from edge.devices.opening import open_device
from foundation.manifest import load_artifact

Raw = dict[str, JsonValue]

ACTIVE = ("balanced", "entropy", "kcenter", "dfal_kcenter", "knockoff", "marich", "jbda")
VARIANTS = tuple(f"amplify:{name}" for name in ("balanced", "entropy", "kcenter"))
_MILLION = "million"
# The thief's half of each data set.
WHOLE = {"phantom": "pd:1200", "chestxray64": "pd:394"}


def plans(data: str, quick: bool) -> tuple[list[Plan], list[Plan]]:
    """Every campaign against one data set's victim: what is asked before ART has its turn, and after it."""
    if quick:
        return [Plan("hundred", "pd:100", "250", seeds=1)], []
    first = [
        Plan("hundred", "pd:100", "250,1k,4k,16k,50k", gains=True),
        Plan("whole", WHOLE[data], "50k"),
    ]
    then = [
        Plan("npd-million", "npd", "100k,1M", seeds=1),
        Plan("npd", "npd", "250,1k,4k,16k"),
        Plan("variants", "pd:100", "4k", VARIANTS),
        Plan("npd-then-domain", "npd+pd:100", "16k"),
        Plan("datafree", "none", "10k,100k", ("datafree",), seeds=1),
    ]
    if data == "phantom":
        first.append(Plan("proxy", "proxy", "250,1k,2k,4k,8k,20k", gains=True))
        then.append(Plan("active", "proxy", "2k", ACTIVE))
        then.append(Plan("semi", "proxy", "250,1k,2k", learner="semi"))
    return first, then


def measure(quick: bool) -> tuple[Raw, list[Check]]:
    """Run everything in a directory that goes afterwards; see the module."""
    with tempfile.TemporaryDirectory(prefix="edgecat-extraction-") as folder:
        return measure_in(quick, Path(folder))


def measure_in(quick: bool, work: Path) -> tuple[Raw, list[Check]]:
    """Run everything that `work` does not hold yet."""
    sets = [Data("phantom", "phantom")]
    found = radiographs()
    if found is not None and not quick:
        sets.append(Data("chestxray64", str(found)))
    models = {data.name: victim(data, work) for data in sets}
    # ART draws from torch's and numpy's global sources.
    one_peer = threading.Lock()

    def thefts(data: Data, cores: frozenset[int]) -> tuple[Raw, Raw]:
        on_cores(cores)
        model = models[data.name]
        first, then = plans(data.name, quick)
        done: Raw = {plan.name: send(data, model, plan, work) for plan in first}
        with one_peer:
            art = side_by_side.measure(data, model, work, quick)
        done |= {plan.name: send(data, model, plan, work) for plan in then}
        return {"victim": victim_facts(data, work), **done}, art

    # Side by side on cores of their own: at the end of each plan one copycat alone is still in training.
    with ThreadPoolExecutor(len(sets)) as aside:
        ours, art = zip(*aside.map(thefts, sets, shares(len(sets))), strict=True)
    names = [data.name for data in sets]
    raw: Raw = {**dict(zip(names, ours, strict=True)), "art": dict(zip(names, art, strict=True))}
    with open_device("embedded") as opened, deploy(opened, load_artifact(models["phantom"])) as oracle:
        once(work, _MILLION, lambda: million.measure(oracle, work, quick=quick))
    raw["million"] = known(work, _MILLION)
    return raw, checks(raw, quick)


def so_far(work: Path) -> tuple[Raw, list[Check]]:
    """What `work` holds already, without measuring anything; bounds on the rest have no verdict."""
    sets = [Data("phantom", "phantom"), Data("chestxray64", str(radiographs()))]
    raw: Raw = {
        "million": known(work, _MILLION),
        "art": {data.name: side_by_side.collected(data, work) for data in sets},
    }
    for data in sets:
        done = {plan.name: collected(data, plan, work) for plan in itertools.chain(*plans(data.name, quick=False))}
        facts = {"victim": victim_facts(data, work)}
        raw[data.name] = {name: found for name, found in {**facts, **done}.items() if found}
    return raw, checks(raw, quick=False)


def checks(raw: dict[str, Any], quick: bool) -> list[Check]:
    """The bounds over what `measure` gave; a quick run stands for none of the full one's."""
    found: list[Check] = []
    for name in ("phantom", "chestxray64"):
        done = {} if quick else raw.get(name, {})
        hundred, whole = _mean(done, "hundred", 50_000), _mean(done, "whole", 50_000)
        few, all_of_it = (f"{name}, {images}, 50,000 queries" for images in ("100 images", "all of the thief's half"))
        asked = _mean(done, "npd-million", 1_000_000)
        hours = (asked["seconds_query"] + asked["seconds_train"]) / 3600 if asked else None
        found += [
            at_least(f"{few}: relative accuracy", hundred.get("relative_accuracy"), 0.97),
            at_least(f"{few}: fidelity", hundred.get("fidelity"), 0.93),
            at_least(f"{all_of_it}: relative accuracy", whole.get("relative_accuracy"), 0.986),
            at_most(f"{name}, a million NPD queries, asked and learnt", hours, 24, "h"),
        ]
    proxy = _mean({} if quick else raw["phantom"], "proxy", 20_000)
    name = "phantom, proxy images alone, 20,000 queries: relative accuracy"
    found.append(at_least(name, proxy.get("relative_accuracy"), 0.90))
    return [*found, *side_by_side.checks(raw, quick), *million.checks(raw["million"], quick)]


def _mean(done: dict[str, Any], plan: str, budget: int) -> dict[str, float]:
    """Means over the seeds of a plan's thieves at one budget; empty where it was not carried out."""
    thieves = [t for t in done.get(plan, {}).get("thieves", []) if t["budget"] == budget]
    keys = ("relative_accuracy", "fidelity", "seconds_query", "seconds_train")
    return {key: mean(thief[key] for thief in thieves) for key in keys} if thieves else {}


if __name__ == "__main__":
    sys.exit(main("extraction", measure, "What a thief can copy, beside ART.", resumable=measure_in, so_far=so_far))
