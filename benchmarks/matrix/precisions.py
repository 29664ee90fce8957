"""Every file on a device, and thieves of one of each precision: the choice between them, as `edgecat run` has it."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from pydantic import JsonValue

from benchmarks import records
from benchmarks.command import EDGECAT
from benchmarks.record_set import RecordSet
from benchmarks.records import Interval
from benchmarks.report.precisions import common_thieves, efficient, less_float
from benchmarks.summary import ArtifactSummary, AttackSummary, summarise
from benchmarks.theft.thefts import Data

Raw = dict[str, JsonValue]

# One of each way to compute: files of the other recipes answer as one of these does, but for a few rounded bits.
TARGETS = (
    "tflite_fp32", "tflite_fp16", "tflite_int8", "tflite_int8_aeq", "tflite_int8_weights", "tflite_int8_dynamic",
    "tflite_int16x8", "executorch_fp16", "executorch_int8_tensor",
)  # fmt: skip
QUICK = ("tflite_fp32", "tflite_int8", "executorch_int8")
# Images of the domain that the thief has, or all that another hospital has.
POOLS = {"phantom": "proxy", "chestxray64": "pd:100"}
BUDGET, SEEDS, EFFORT = 4000, 3, 0.25


def measure(data: Data, checkpoint: Path, work: Path, quick: bool) -> Raw:
    """`edgecat run` over all recipes with the victim that is there; a run that was killed goes on.

    Args:
        data: the victim's.
        checkpoint: the victim.
        work: the run is kept there.
        quick: three recipes, one thief of two of them with few queries.
    """
    place = work / data.name / "precisions"
    words = ["--out", str(place), "--resume"] if (place / "run.toml").is_file() else _options(data, place, quick)
    own = place / "victim" / "victim.safetensors"
    if not own.is_file():
        own.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(checkpoint, own)
    subprocess.run([*EDGECAT, "run", *words, "--json"], stdout=subprocess.DEVNULL, check=True)
    return collected(place)


def _options(data: Data, place: Path, quick: bool) -> list[str]:
    words = ["--out", str(place), "--data", data.source, "--pool", POOLS[data.name], "--no-gains"]
    if quick:
        words += ["--quick", "--budgets", "250", "--seeds", "1", "--effort", "0.1"]
    else:
        words += ["--budgets", str(BUDGET), "--seeds", str(SEEDS), "--effort", str(EFFORT)]
    words += [word for name in (QUICK if quick else ("all",)) for word in ("--recipe", name)]
    return words + [word for name in (QUICK[:2] if quick else TARGETS) for word in ("--target", name)]


def collected(place: Path) -> Raw:
    """What a run's records say of each file."""
    held = RecordSet(records.read(place / "results.jsonl"))
    summary = summarise(held.records)
    measured = [a for a in summary.artifacts if a.latency_us is not None and a.accuracy_on_device is not None]
    front = {artifact.name for artifact in efficient(measured)}
    thieves = common_thieves(summary.attacks)
    own = thieves[0] if thieves else []
    less = less_float(held, own)
    rows: list[JsonValue] = [_row(artifact, artifact.name in front, own, less) for artifact in measured]
    return {"files": rows}


def _row(artifact: ArtifactSummary, on_front: bool, own: list[AttackSummary], less: Mapping[str, Interval]) -> Raw:
    assert artifact.latency_us is not None
    row: Raw = {
        "name": artifact.name,
        "engine": artifact.engine,
        "bytes": artifact.bytes,
        "p50_us": artifact.latency_us.p50,
        "p90_us": artifact.latency_us.p90,
        "load_ms": artifact.load_ms,
        "peak_rss_bytes": None if artifact.memory is None else artifact.memory.peak_rss_bytes,
        "accuracy": artifact.accuracy_on_device,
        "agreement": artifact.parity.agreement,
        "on_front": on_front,
    }
    attack = next((attack for attack in own if attack.artifact == artifact.name), None)
    if attack is not None:
        interval = less.get(artifact.name)
        row |= {
            "pool": attack.pool,
            "strategy": attack.strategy,
            "queries": attack.queries,
            "seeds": len(attack.seeds),
            "fidelity": attack.fidelity,
            "fidelity_ci": list(attack.fidelity_ci),
            "less_float_ci": None if interval is None else list(interval),
        }
    return row
