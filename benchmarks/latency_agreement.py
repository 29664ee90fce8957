"""Is our latency right? The same files timed by us, by LiteRT's own benchmark and by ExecuTorch's bindings, in turns.

    python -m benchmarks.latency_agreement --json [--quick] [--work DIR] [--record FILE]

Ours is the native runner on the embedded device, as `edgecat bench` uses it. Theirs are the benchmark that the LiteRT
wheel carries (`ai_edge_litert.tools.benchmark_litert_model`), and the loop that ExecuTorch's documentation shows
(`executorch.runtime`, `Method.execute`): its wheel has no benchmark. Everybody counts a call of the runtime with the
input in place, on one thread, on the same core; theirs go through Python, which costs some microseconds a call.

The network is the default victim, untrained: what these kernels take does not hang on the weights. At 224 pixels the
medians are held against each other; at 64, where an int8 inference takes less than ten times what Python adds to
a call, only that we are no slower.

With it goes how often `compare` raises a false alarm and misses a change (`benchmarks.comparison.power`).
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue
from scipy import stats

from benchmarks.comparison import power
from benchmarks.cores import on_cores
from benchmarks.kept import known, once
from benchmarks.latency_peers import executorch_bindings, litert_benchmark
from benchmarks.proof import Check, at_most, main
from benchmarks.statistics import LEVEL, RESAMPLES
from benchmarks.untrained import untrained
from edge.deployment import RunnerOptions, push_artifact, start
from edge.devices.opening import OpenDevice, open_device
from edge.runner.messages import BenchmarkRequest
from foundation.answers import AnswerPolicy
from foundation.manifest import Artifact

Raw = dict[str, JsonValue]
Medians = NDArray[np.float64]

RECIPES = ("tflite_fp32", "tflite_int8", "executorch_fp32", "executorch_int8")
# Side of the images in pixels: of the phantom, and the usual one of larger networks.
SMALL, LARGE = 64, 224
FILES = [(recipe, side) for side in (SMALL, LARGE) for recipe in RECIPES]
QUICK_FILES = [(recipe, LARGE) for recipe in ("tflite_int8", "executorch_int8")]
ROUNDS, QUICK_ROUNDS = 41, 5
WARM, RUNS = 30, 200
PEERS = {"tflite": litert_benchmark, "executorch": executorch_bindings}
NAMES = {"tflite": "LiteRT's own benchmark", "executorch": "ExecuTorch's bindings"}


def measure(quick: bool) -> tuple[Raw, list[Check]]:
    """Measure in a directory that goes afterwards; see the module."""
    with tempfile.TemporaryDirectory(prefix="edgecat-agreement-") as folder:
        return measure_in(quick, Path(folder))


def measure_in(quick: bool, work: Path) -> tuple[Raw, list[Check]]:
    """Measure what `work` does not hold yet."""
    size = "quick" if quick else "full"
    once(work, f"latency-{size}", lambda: beside(_files(QUICK_FILES if quick else FILES, work), quick))
    once(work, f"compare-{size}", lambda: power.measure(quick, work / "power"))
    raw: Raw = {"latency": known(work, f"latency-{size}"), "compare": known(work, f"compare-{size}")}
    return raw, checks(raw, quick)


def _files(wanted: list[tuple[str, int]], work: Path) -> dict[str, Artifact]:
    """Artefacts by recipe and side."""
    return {
        _name(recipe, side): artifact
        for side in (SMALL, LARGE)
        for recipe, artifact in untrained(
            work / str(side), "residual", (side, side, 1), [r for r, s in wanted if s == side]
        ).items()
    }


def _name(recipe: str, side: int) -> str:
    return f"{recipe} {side} px"


def beside(artifacts: dict[str, Artifact], quick: bool) -> Raw:
    """Median microseconds of each round by file and by who measured, on one core, in an order drawn anew each round."""
    core = max(os.sched_getaffinity(0))
    rounds: dict[str, dict[str, list[float]]] = {name: {"ours": [], "theirs": []} for name in artifacts}
    order = np.random.default_rng(0)
    allowed = frozenset(os.sched_getaffinity(0))
    with open_device("embedded") as device:
        timers = {
            (name, who): timer
            for name, artifact in artifacts.items()
            for who, timer in (("ours", _ours(device, artifact, core)), ("theirs", _theirs(artifact)))
        }
        for _ in range(QUICK_ROUNDS if quick else ROUNDS):
            for number in order.permutation(len(timers)):
                (name, who), timer = list(timers.items())[number]
                on_cores(frozenset({core}) if who == "theirs" else allowed)
                rounds[name][who].append(timer())
        on_cores(allowed)
        kind = device.info.kind
    return {
        "device_kind": kind,
        "core": core,
        "runs_of_a_round": RUNS,
        **{name: _told(found["ours"], found["theirs"]) for name, found in rounds.items()},
    }


def checks(raw: dict[str, Any], quick: bool) -> list[Check]:
    """The bounds over what `measure` gave; a quick run stands for none of them."""
    found: dict[str, Any] = raw.get("latency") or {}
    held: list[Check] = []
    for recipe, side in FILES:
        name, peer = _name(recipe, side), NAMES[recipe.partition("_")[0]]
        one = found[name] if name in found and not quick else None
        if side == LARGE:
            apart = None if one is None else abs(one["ratio"] - 1)
            held.append(at_most(f"{name}: our median beside that of {peer}, apart by", apart, 0.05))
        # No slower as far as can be told: the interval must not lie above 1 as a whole.
        low = None if one is None else one["ratio_ci"][0]
        held.append(at_most(f"{name}: our time over that of {peer}, low end at 95 %", low, 1.0))
    return [*held, *power.checks(raw.get("compare"), quick)]


def _ours(device: OpenDevice, artifact: Artifact, core: int) -> Callable[[], float]:
    """Median of a process of the native runner, microseconds."""
    remote = push_artifact(device, artifact)
    options = RunnerOptions("native", cpus=str(core))
    request = BenchmarkRequest(WARM, RUNS, 0.0, 60.0)

    def timed() -> float:
        with start(device, remote, artifact.manifest, AnswerPolicy("label"), options) as deployed:
            return float(np.median(deployed.benchmark(request).samples_ns)) / 1e3

    return timed


def _theirs(artifact: Artifact) -> Callable[[], float]:
    timer = PEERS[artifact.manifest.runtime]
    return lambda: timer(artifact.path, artifact.manifest.image.shape, WARM, RUNS)


def _told(ours: list[float], theirs: list[float]) -> JsonValue:
    """The interval draws whole rounds: what slows a round down slows both."""
    of_ours, of_theirs = np.array(ours), np.array(theirs)
    interval = stats.bootstrap(
        (of_ours, of_theirs),
        _ratio_of_medians,
        paired=True,
        confidence_level=LEVEL,
        n_resamples=RESAMPLES,
        method="percentile",
        random_state=np.random.default_rng(0),
    ).confidence_interval
    return {
        "ours_us": [*ours],
        "theirs_us": [*theirs],
        "ratio": float(_ratio_of_medians(of_ours, of_theirs)),
        "apart_us": float(np.median(of_theirs) - np.median(of_ours)),
        "ratio_ci": [float(interval.low), float(interval.high)],
    }


def _ratio_of_medians(ours: Medians, theirs: Medians, axis: int = -1) -> Medians:
    return np.asarray(np.median(ours, axis) / np.median(theirs, axis))


if __name__ == "__main__":
    sys.exit(
        main("latency_agreement", measure, "Our latency beside the runtimes' own benchmarks.", resumable=measure_in)
    )
