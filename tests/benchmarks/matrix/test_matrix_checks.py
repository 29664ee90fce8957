"""What the benchmark of exports holds against its bounds, from figures made up here; and its mutants."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from benchmarks.export_matrix import checks
from benchmarks.matrix.hostile import mutated
from benchmarks.matrix.roads import OURS


def file(name: str, precision: str, size: int, accuracy: float = 0.95, *, ok: bool = True) -> dict[str, Any]:
    return {"name": name, "precision": precision, "bytes": size, "accuracy": accuracy, "parity": {"ok": ok}}


@pytest.fixture
def raw() -> dict[str, Any]:
    """Everything measured, every bound met."""
    files = [
        file("tflite_fp32", "fp32", 1000),
        file("tflite_int8", "int8", 300, 0.945),
        file("executorch_fp32", "fp32", 900),
        file("executorch_int8", "int8", 280, 0.946),
        file("executorch_int8_dynamic", "int8_dynamic", 800, 0.95),
    ]
    done = {"seconds": 150.0, "peak_rss_bytes": 1_500_000_000, "float_accuracy": 0.95, "files": files}
    hurt = {
        "mutants": 500,
        "slowest_seconds": 2.0,
        "original_manifest": {"refused": 500},
        "inspected": {"read": 100, "refused": 400},
        "forged_manifest": {"answered": 40, "refused": 440, "DeviceError": 20},
    }
    return {
        "phantom": done,
        "chestxray64": done,
        "roads": {name: {"ratio": 1.0} for name in OURS},
        "hostile": dict.fromkeys(("tflite_int8", "executorch_int8"), hurt),
    }


def failing(raw: dict[str, Any]) -> list[str]:
    return [check.name for check in checks(raw, quick=False) if check.ok is False]


def test_what_meets_every_bound_fails_none(raw: dict[str, Any]) -> None:
    found = checks(raw, quick=False)
    assert len({check.name for check in found}) == len(found)
    assert all(check.ok for check in found)


@pytest.mark.parametrize(
    ("place", "change", "words"),
    [
        ("phantom", {"seconds": 181.0}, "every recipe"),
        ("phantom", {"peak_rss_bytes": 2_100_000_000}, "peak memory"),
        (
            "phantom",
            {"files": [file("tflite_fp32", "fp32", 10), file("tflite_int8", "int8", 3, ok=False)]},
            "share of recipes",
        ),
        ("chestxray64", {"float_accuracy": 0.96}, "accuracy that int8 costs"),
        (
            "chestxray64",
            {"files": [file("tflite_fp32", "fp32", 10), file("tflite_int8", "int8", 4)]},
            "over its runtime",
        ),
        ("roads", {"tflite_int8": {"ratio": 1.06}}, "latency"),
    ],
)
def test_what_misses_a_bound_fails_it(raw: dict[str, Any], place: str, change: dict[str, Any], words: str) -> None:
    raw[place] = raw[place] | change
    assert len(failing(raw)) == 1
    assert words in failing(raw)[0]


@pytest.mark.parametrize(
    "change",
    [
        {"original_manifest": {"refused": 499, "taken": 1}},
        {"inspected": {"read": 499, "MemoryError": 1}},
        {"forged_manifest": {"answered": 499}},
        {"slowest_seconds": 31.0},
    ],
)
def test_one_mutant_that_ends_otherwise_is_enough(raw: dict[str, Any], change: dict[str, Any]) -> None:
    raw["hostile"]["tflite_int8"] = raw["hostile"]["tflite_int8"] | change
    assert len(failing(raw)) == 1


def test_what_was_not_measured_and_a_quick_run_have_no_verdict(raw: dict[str, Any]) -> None:
    for found in (checks({}, quick=False), checks(raw, quick=True)):
        assert {check.ok for check in found} == {None}


def test_a_mutant_is_another_file() -> None:
    whole, chance = bytes(range(256)) * 4, np.random.default_rng(0)
    mutants = [mutated(whole, chance) for _ in range(300)]
    assert whole not in mutants
    lengths = np.array([len(mutant) for mutant in mutants])
    assert (lengths == len(whole)).any()
    assert (lengths < len(whole)).any()
    assert (lengths > len(whole)).any()
