"""The main job against its bounds: the walk on the phantom and on real radiographs, from cold caches.

    python -m benchmarks.main_road --json [--quick] [--record benchmarks/records/main_road.jsonl]

The radiographs are those of EDGECAT_CHESTXRAY, or `../shared/data/chestxray64.npz` beside the repository.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from pydantic import JsonValue

from benchmarks.data import radiographs
from benchmarks.proof import Check, at_least, at_most, main

_COMMAND = [sys.executable, "-m", "edgecat"]
_STARTS = 7
_Summary = dict[str, Any]


def measure(quick: bool) -> tuple[dict[str, JsonValue], list[Check]]:
    """Run everything; see the module."""
    with tempfile.TemporaryDirectory(prefix="edgecat-benchmark-") as folder:
        environment = os.environ | {"EDGECAT_CACHE_DIR": f"{folder}/cache"}
        starts = [_seconds([*_COMMAND, "--help"], environment) for _ in range(_STARTS)]
        rendering = _phantom_rates(environment)
        phantom, phantom_seconds = _walk([], Path(folder) / "phantom", environment, quick)
        found = radiographs()
        chest = None
        if found is not None and not quick:
            chest, _ = _walk(["--data", str(found)], Path(folder) / "chest", environment, quick)
    raw: dict[str, JsonValue] = {
        "help_seconds": list[JsonValue](starts),
        "phantom_images_per_second": list[JsonValue](rendering),
        "phantom_run_seconds": phantom_seconds,
        "phantom": phantom,
        "chestxray64": chest,
    }
    checks = [
        at_most("edgecat --help, median of 7 starts", statistics.median(starts), 0.5, "s"),
        at_least("phantom rendering, median of 5", statistics.median(rendering), 1000, "images/s"),
        # A quick run has other budgets; its wall clock is not the bound's.
        at_most("whole run on the phantom", None if quick else phantom_seconds, 240, "s"),
        *_phantom_checks(phantom),
        *_artifact_checks("phantom", phantom),
        at_least("chestxray64 victim, accuracy", _dig(chest, "victim", "accuracy"), 0.80),
        *_artifact_checks("chestxray64", chest),
    ]
    return raw, checks


def _phantom_checks(phantom: _Summary) -> list[Check]:
    victim = phantom["victim"]
    return [
        at_most("default victim, parameters", victim["parameters"], 300_000),
        at_most("default victim, training", victim["seconds_train"], 60, "s"),
        at_least("phantom victim, accuracy", victim["accuracy"], 0.90),
        at_most("phantom victim, accuracy", victim["accuracy"], 0.98),
    ]


def _artifact_checks(name: str, summary: _Summary | None) -> list[Check]:
    """Per artefact: accuracy lost on the device, labels unlike those in process, images compared."""
    recipes = ("tflite_fp32", "tflite_int8", "executorch_fp32", "executorch_int8")
    found = {a["name"]: a for a in summary["artifacts"]} if summary else {}
    checks = []
    for recipe in recipes:
        artifact = found.get(recipe)
        lost = unequal = compared = images = None
        if summary is not None and artifact is not None:
            lost = abs(summary["victim"]["accuracy"] - artifact["accuracy_on_device"])
            compared, images = artifact["labels_compared"], artifact["parity"]["images"]
            unequal = compared - artifact["labels_equal"]
        checks += [
            at_most(f"{name} {recipe}, accuracy on the device off the float model's", lost, 0.02),
            at_most(f"{name} {recipe}, labels unlike the runtime's in process", unequal, 0),
            at_least(f"{name} {recipe}, labels compared", compared, 1000),
            at_least(f"{name} {recipe}, parity images", images, 500),
        ]
    return checks


def _walk(options: list[str], out: Path, environment: dict[str, str], quick: bool) -> tuple[_Summary, float]:
    start = time.perf_counter()
    command = [*_COMMAND, "run", "--json", "--out", str(out), *options, *(["--quick"] if quick else [])]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    summary: _Summary = json.loads(done.stdout)
    # The report goes with the temporary directory.
    summary["report"] = None
    return summary, time.perf_counter() - start


def _phantom_rates(environment: dict[str, str]) -> list[float]:
    """Images a second of five renderings of 2,000 different images in one process."""
    program = """
import time
from victim.phantom import render
for seed in range(5):
    start = time.perf_counter()
    render(2000, "victim", seed)
    print(2000 / (time.perf_counter() - start))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, stdout=subprocess.PIPE, text=True, check=True
    )
    return [float(line) for line in done.stdout.split()]


def _seconds(command: list[str], environment: dict[str, str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - start


def _dig(document: _Summary | None, *keys: str) -> float | None:
    value: Any = document
    for key in keys:
        value = None if value is None else value[key]
    return None if value is None else float(value)


if __name__ == "__main__":
    sys.exit(main("main_road", measure, "The main job against its bounds."))
