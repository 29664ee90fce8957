"""The bounds on our clock, over figures that are given; and the runtimes' own clocks, that they run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import latency_agreement
from benchmarks.latency_peers import executorch_bindings, litert_benchmark
from benchmarks.proof import Check


def found(**changed: dict[str, Any]) -> dict[str, Any]:
    """What a full run gives where all is well but what is changed."""
    names = [f"{recipe} {side} px" for recipe, side in latency_agreement.FILES]
    well = {"ratio": 0.97, "ratio_ci": [0.96, 0.98]}
    return {"latency": {name: well | changed.get(name.replace(" ", "_"), {}) for name in names}, "compare": None}


def broken(raw: dict[str, Any], quick: bool = False) -> list[str]:
    return [check.name for check in latency_agreement.checks(raw, quick) if check.ok is False]


def test_all_is_well_where_the_medians_agree_and_we_are_faster() -> None:
    checks: list[Check] = latency_agreement.checks(found(), quick=False)
    assert {check.ok for check in checks if "compare" not in check.name} == {True}


@pytest.mark.parametrize(
    ("name", "changed", "told"),
    [
        ("tflite_int8_224_px", {"ratio": 0.94}, "apart by"),
        ("executorch_fp32_224_px", {"ratio": 1.06}, "apart by"),
        ("executorch_int8_64_px", {"ratio_ci": [1.001, 1.02]}, "low end"),
    ],
)
def test_what_is_apart_or_slower_breaks_its_bound_alone(name: str, changed: dict[str, Any], told: str) -> None:
    (only,) = broken(found(**{name: changed}))
    assert only.startswith(name.replace("_px", " px").replace("_224", " 224").replace("_64", " 64"))
    assert told in only


def test_a_small_file_may_be_far_faster_than_through_python() -> None:
    assert broken(found(tflite_int8_64_px={"ratio": 0.5})) == []


def test_a_quick_run_and_one_that_measured_nothing_stand_for_nothing() -> None:
    for checks in (latency_agreement.checks(found(), quick=True), latency_agreement.checks({}, quick=False)):
        assert {check.ok for check in checks} == {None}


def test_the_interval_is_of_the_ratio_that_is_told_and_knows_that_rounds_are_shared() -> None:
    ours = [float(one) for one in np.random.default_rng(0).lognormal(5, 0.5, 41)]
    told: Any = latency_agreement._told(ours, [2 * one for one in ours])
    assert told["ratio"] == pytest.approx(0.5)
    assert told["ratio_ci"] == pytest.approx([0.5, 0.5])
    noisy: Any = latency_agreement._told(ours, [float(one) for one in np.random.default_rng(1).lognormal(5, 0.5, 41)])
    low, high = noisy["ratio_ci"]
    assert low < noisy["ratio"] < high


@pytest.mark.export
@pytest.mark.parametrize(
    ("timer", "recipe"), [(litert_benchmark, "tflite_int8"), (executorch_bindings, "executorch_fp32")]
)
def test_a_runtime_s_own_clock_runs(
    timer: Callable[[Path, tuple[int, int, int], int, int], float], recipe: str, exported: Callable[[str, int], Any]
) -> None:
    artifact = exported(recipe, 1).artifact
    microseconds = timer(artifact.path, artifact.manifest.image.shape, 5, 40)
    assert 0.5 < microseconds < 1e6
