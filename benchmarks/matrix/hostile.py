"""Mutated model files: refused, or answered for by a runner that may die; the host goes on."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import JsonValue

from benchmarks.proof import Check, at_least, at_most
from edge.deployment import RunnerOptions, deploy
from edge.devices.opening import OpenDevice, open_device
from export.inspection import inspect_model
from export.recipes import find_recipe
from foundation.answers import AnswerPolicy
from foundation.errors import ArtifactError, EdgecatError
from foundation.files import sha256_bytes
from foundation.manifest import Artifact, load_artifact, save_manifest
from victim.dataset import Dataset

Raw = dict[str, JsonValue]

FILES = ("tflite_int8", "executorch_int8")
# Of each file; a forged manifest goes with as many.
MUTANTS = 500
_RUNNER = RunnerOptions()
_IMAGES = 8


def measure(dataset: Dataset, files: Path, work: Path, quick: bool) -> Raw:
    """Mutants of our int8 files: with the manifest of the original, with none, and with one that was forged for them.

    Args:
        dataset: has images to ask about.
        files: directory with ours.
        work: for the mutants.
        quick: a tenth of them.
    """
    found: Raw = {}
    for number, name in enumerate(FILES):
        original = load_artifact(files / find_recipe(name).file_name)
        folder = work / "hostile" / name
        folder.mkdir(parents=True, exist_ok=True)
        chance = np.random.default_rng(number)
        with open_device("embedded") as device:
            found[name] = _hurt(original, dataset, folder, chance, device, MUTANTS // 10 if quick else MUTANTS)
    return found


def checks(raw: dict[str, Any] | None, quick: bool) -> list[Check]:
    """Every mutant ends as it must; a quick run stands for none of them."""
    found = {} if quick else raw or {}
    names = []
    for name in FILES:
        one = found.get(name)
        count = one["mutants"] if one else None
        refused = one["original_manifest"].get("refused", 0) / count if one else None
        looked = sum(one["inspected"].get(end, 0) for end in ("read", "refused")) / count if one else None
        served = sum(one["forged_manifest"].values()) / count if one else None
        names += [
            at_least(f"{name}: mutants that are refused for not being what their manifest says", refused, 1.0),
            at_least(f"{name}: mutants that inspection reads or refuses", looked, 1.0),
            at_least(f"{name}: mutants with a forged manifest that end in answers or in an error of ours", served, 1.0),
            at_most(f"{name}: the slowest end of one", one["slowest_seconds"] if one else None, 30, "s"),
        ]
    return names


def _hurt(
    original: Artifact, dataset: Dataset, folder: Path, chance: np.random.Generator, device: OpenDevice, count: int
) -> JsonValue:
    whole = original.path.read_bytes()
    path = folder / original.path.name
    ends: dict[str, Counter[str]] = {
        "original_manifest": Counter(),
        "inspected": Counter(),
        "forged_manifest": Counter(),
    }
    slowest = 0.0
    for _ in range(count):
        data = mutated(whole, chance)
        path.write_bytes(data)
        start = time.perf_counter()
        save_manifest(path, original.manifest)
        ends["original_manifest"][_end(lambda: load_artifact(path), "taken")] += 1
        ends["inspected"][_end(lambda: inspect_model(path), "read")] += 1
        forged = original.manifest.model_copy(update={"bytes": len(data), "sha256": sha256_bytes(data)})
        artifact = save_manifest(path, forged)
        ends["forged_manifest"][_end(lambda: _ask(artifact, dataset, device), "answered")] += 1  # noqa: B023
        slowest = max(slowest, time.perf_counter() - start)
    told: dict[str, JsonValue] = {name: dict(counter) for name, counter in ends.items()}
    return {"mutants": count, "slowest_seconds": slowest, **told}


def _end(attempt: Any, well: str) -> str:
    """What came of it, in a word; what is not ours to raise ends the benchmark."""
    try:
        attempt()
    except ArtifactError:
        return "refused"
    except EdgecatError as error:
        return type(error).__name__
    return well


def _ask(artifact: Artifact, dataset: Dataset, device: OpenDevice) -> None:
    with deploy(device, artifact, AnswerPolicy("label"), _RUNNER) as model:
        model.query(dataset.test.images[:_IMAGES])


def mutated(whole: bytes, chance: np.random.Generator) -> bytes:
    """Another file: one to eight bytes changed, cut short, or a piece of it left out or there twice."""
    data = whole
    while data == whole:
        kind = chance.integers(3)
        if kind == 0:
            changed = bytearray(whole)
            for place in chance.integers(len(whole), size=chance.integers(1, 9)):
                changed[place] = int(chance.integers(256))
            data = bytes(changed)
        elif kind == 1:
            data = whole[: int(chance.integers(len(whole)))]
        else:
            start, stop = (int(place) for place in chance.integers(len(whole), size=2))
            data = whole[:stop] + whole[start:]
    return data
