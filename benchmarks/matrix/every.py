"""Every recipe on one victim: does it pass its gate, what does it take, and what is its file worth."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any

from pydantic import JsonValue

from benchmarks.command import EDGECAT
from benchmarks.proof import Check, at_least, at_most
from benchmarks.theft.thefts import Data
from export.parity import runtime_logits
from foundation.manifest import load_artifact
from victim.checkpoint import load as load_checkpoint
from victim.loaders import load
from victim.training import predict

Raw = dict[str, JsonValue]

QUICK = ("tflite_fp32", "tflite_int8", "executorch_int8")


def measure(data: Data, checkpoint: Path, work: Path, quick: bool) -> Raw:
    """`edgecat export --recipe all`, timed, with the peak memory of its process; and every file on the test split."""
    out = work / data.name / "all"
    chosen = QUICK if quick else ("all",)
    words = ["export", str(checkpoint), "--data", data.source, "--out", str(out)]
    words += [word for name in chosen for word in ("--recipe", name)]
    document, seconds, peak = _measured(words)
    dataset, victim = load(data.source), load_checkpoint(checkpoint)
    float_accuracy = float((predict(victim.network, dataset.test.images).argmax(1) == dataset.test.labels).mean())
    files = [
        {
            "name": one["name"],
            "precision": one["precision"],
            "bytes": one["bytes"],
            "parity": one["parity"],
            "seconds": one["seconds_export"],
            "accuracy": float(
                (
                    runtime_logits(load_artifact(Path(one["path"])), dataset.test.images).argmax(1)
                    == dataset.test.labels
                ).mean()
            ),
        }
        for one in document["artifacts"]
    ]
    return {
        "seconds": seconds,
        "peak_rss_bytes": peak,
        "float_accuracy": float_accuracy,
        "files": files,
        "unsupported": document["unsupported"],
    }


def checks(name: str, raw: dict[str, Any] | None, quick: bool) -> list[Check]:
    """The bounds on one data set's victim; a quick run stands for none of them."""
    found = None if quick else raw
    files = {one["name"]: one for one in found["files"]} if found else {}
    lost = (
        [found["float_accuracy"] - one["accuracy"] for one in files.values() if "int8" in one["name"]] if found else []
    )
    shares = [
        one["bytes"] / files[f"{one['name'].partition('_')[0]}_fp32"]["bytes"]
        for one in files.values()
        if one["precision"] == "int8"
    ]
    passed = [one["parity"]["ok"] for one in files.values()]
    took, peak = (found["seconds"], found["peak_rss_bytes"] / 1e9) if found else (None, None)
    # The bound is one on the default victim.
    timed = name == "phantom"
    return [
        *([at_most(f"{name}: every recipe, exported and through its gate", took, 180, "s")] * timed),
        *([at_most(f"{name}: peak memory of it", peak, 2.0, "GB")] * timed),
        at_least(f"{name}: share of recipes that pass their gate", sum(passed) / len(passed) if passed else None, 1.0),
        at_most(f"{name}: accuracy that int8 costs, at most", max(lost, default=None), 0.01),
        at_most(f"{name}: an int8 file over its runtime's fp32, at most", max(shares, default=None), 0.35),
    ]


def _measured(words: list[str]) -> tuple[dict[str, Any], float, int]:
    """A command's document, its seconds and the peak memory of its process and those that it waited for, bytes."""
    start = time.perf_counter()
    process = subprocess.Popen([*EDGECAT, *words, "--json"], stdout=subprocess.PIPE)
    assert process.stdout is not None
    text = process.stdout.read()
    _, status, used = os.wait4(process.pid, 0)
    code = process.returncode = os.waitstatus_to_exitcode(status)
    # A gate that does not hold is a finding.
    if code not in (0, 1):
        raise subprocess.CalledProcessError(code, process.args)
    # Linux counts in KiB.
    return json.loads(text), time.perf_counter() - start, used.ru_maxrss << 10
