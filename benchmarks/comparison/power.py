"""How often `compare` raises a false alarm, and how often it finds an artefact that is 10 % slower.

Measured, not simulated: an int8 `.tflite` file answers on the embedded device, in processes of the native runner. The
slower artefact is the same network with two of its twenty equal layers more, so that it has a tenth more to compute.
Runs that are compared were measured in turns: a process of each, in an order drawn anew each time, as
`docs/benchmarking.md` says that whoever wants to compare should. The machine may be as busy as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue
from scipy import stats

from benchmarks.comparison.significance import Change, change_of_medians
from benchmarks.kept import known, once
from benchmarks.proof import Check, at_least, at_most
from benchmarks.statistics import evenly_picked
from benchmarks.untrained import untrained
from edge.deployment import RunnerOptions, push_artifact, start
from edge.devices.opening import OpenDevice, open_device
from edge.runner.messages import BenchmarkRequest
from foundation.answers import AnswerPolicy
from foundation.manifest import Artifact
from foundation.progress import SILENT, Progress

if TYPE_CHECKING:
    from torch import nn

Raw = dict[str, JsonValue]

LAYERS, SLOWER_LAYERS = 20, 22
REPEATS = 10
PAIRS, QUICK_PAIRS = 100, 3
_IMAGE, _CHANNELS = (32, 32, 1), 24
_REQUEST = BenchmarkRequest(warmup_runs=20, min_runs=100, min_seconds=0.2, max_seconds=1.0)
# A run's samples that are kept for each process: enough for its median.
_KEPT = 500


def measure(quick: bool, work: Path, progress: Progress = SILENT) -> Raw:
    """Compare pairs of runs of one artefact, and of it with the slower one.

    Args:
        quick: fewer pairs.
        work: directory for the artefacts and for each pair as it was measured: what is there is not measured again.
        progress: is told of each pair.

    Returns:
        For `same` and for `slower`, of each pair the ratio of medians, its interval, the p-value and whether compare
        would tell; and the true ratio, of the medians over all pairs.
    """
    artifacts = {
        name: untrained(work / name, f"{__name__}:{factory.__name__}", _IMAGE)["tflite_int8"]
        for name, factory in (("a", plain_layers), ("slower", slower_layers))
    }
    names = [f"pair-{REPEATS}-{number}" for number in range(QUICK_PAIRS if quick else PAIRS)]
    with open_device("embedded") as device, progress.task("pairs of runs", len(names)) as advance:
        kind = device.info.kind
        remote = {name: push_artifact(device, artifact) for name, artifact in artifacts.items()}
        for number, name in enumerate(names):
            once(work, name, partial(_pair, device, artifacts, remote, np.random.default_rng(number)))
            advance(1)
    pairs: list[dict[str, Any]] = [found for name in names if (found := known(work, name)) is not None]
    medians = {
        name: np.array([median for one in pairs for median in one["medians_us"][name]]) for name in ("a", "slower")
    }
    return {
        "device_kind": kind,
        "repeats": REPEATS,
        "seconds_of_a_process": _REQUEST.min_seconds,
        "layers": [LAYERS, SLOWER_LAYERS],
        "true_ratio": float(np.median(medians["slower"]) / np.median(medians["a"])),
        "median_us": {name: float(np.median(values)) for name, values in medians.items()},
        "spread_of_processes": {name: float(np.std(np.log(values))) for name, values in medians.items()},
        "same": _told([one["same"] for one in pairs]),
        "slower": _told([one["slower"] for one in pairs]),
    }


def checks(raw: dict[str, Any] | None, quick: bool) -> list[Check]:
    """The bounds of the issue; a quick run has too few pairs to stand for either."""
    known = raw is not None and not quick
    false_alarms = raw["same"]["share_told"] if raw is not None and known else None
    power = raw["slower"]["share_slower"] if raw is not None and known else None
    return [
        at_most("compare: false alarms among pairs without a change", false_alarms, 0.05),
        at_least("compare: pairs found of which one is 10 % slower", power, 0.95),
    ]


def _in_turns(
    device: OpenDevice, artifacts: dict[str, Artifact], remote: dict[str, str], generator: np.random.Generator
) -> dict[str, list[NDArray[np.float64]]]:
    """Three runs, each process of them its own session on the device, in rounds of an order drawn anew."""
    runs: dict[str, list[NDArray[np.float64]]] = {"a": [], "again": [], "slower": []}
    for _ in range(REPEATS):
        for name in generator.permutation(list(runs)):
            key = "a" if name == "again" else str(name)
            options = RunnerOptions("native")
            with start(device, remote[key], artifacts[key].manifest, AnswerPolicy("label"), options) as model:
                samples = model.benchmark(_REQUEST).samples_ns.astype(np.float64) / 1e3
            runs[str(name)].append(np.asarray(evenly_picked(samples, _KEPT)))
    return runs


def _pair(
    device: OpenDevice, artifacts: dict[str, Artifact], remote: dict[str, str], generator: np.random.Generator
) -> Raw:
    """One pair of each kind, in turns; the third run is of the first one's artefact again: nothing changed."""
    runs = _in_turns(device, artifacts, remote, generator)
    return {
        "same": _change(change_of_medians(runs["a"], runs["again"], generator)),
        "slower": _change(change_of_medians(runs["a"], runs["slower"], generator)),
        "medians_us": {name: [float(np.median(samples)) for samples in run] for name, run in runs.items()},
    }


def _change(change: Change) -> JsonValue:
    interval: list[JsonValue] | None = None if change.interval is None else [*change.interval]
    told = change.significant
    return {"ratio": change.ratio, "interval": interval, "p_value": change.p_value, "told": told}


def _told(changes: Sequence[dict[str, Any]]) -> Raw:
    told = [bool(change["told"]) for change in changes]
    slower = [bool(change["told"]) and change["ratio"] > 1 for change in changes]
    return {
        "pairs": len(changes),
        "share_told": float(np.mean(told)),
        "share_told_ci": _interval(told),
        "share_slower": float(np.mean(slower)),
        "share_slower_ci": _interval(slower),
        "ratios": [change["ratio"] for change in changes],
        "intervals": [change["interval"] for change in changes],
        "p_values": [change["p_value"] for change in changes],
    }


def _interval(hits: Sequence[bool]) -> list[JsonValue]:
    """Exact 95 % interval of a share (Clopper and Pearson 1934): it knows that none of a few is not never."""
    found = stats.binomtest(sum(hits), len(hits)).proportion_ci()
    return [float(found.low), float(found.high)]


def plain_layers(channels: int, classes: int, layers: int = LAYERS) -> nn.Module:
    """A network of so many equal layers: what it answers does not matter here, what it computes does."""
    from torch import nn

    blocks: list[nn.Module] = [nn.Conv2d(channels, _CHANNELS, 3, 2, 1), nn.ReLU()]
    for _ in range(layers):
        blocks += [nn.Conv2d(_CHANNELS, _CHANNELS, 3, 1, 1), nn.ReLU()]
    return nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(_CHANNELS, classes))


def slower_layers(channels: int, classes: int) -> nn.Module:
    """The same with a tenth more to compute."""
    return plain_layers(channels, classes, SLOWER_LAYERS)
