"""Records of speed: what older versions wrote is read, what newer ones know is kept."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from fabricated_records import RecordMaker
from pydantic import ValidationError

from benchmarks.records import Conditions, Latency, Memory, TemperatureGate, Throughput, append, read
from foundation.errors import DataError

# As edgecat wrote it before it knew of repeats and conditions.
OLDER = {
    "schema_version": 1, "run_id": "r", "created": "2025-03-01T12:00:00Z", "kind": "latency", "artifact": "tflite_int8",
    "device_kind": "embedded", "engine": "LiteRT 2.3.0",
    "config": {"threads": 1, "warmup_runs": 20, "min_runs": 1, "min_seconds": 0, "max_seconds": 30},
    "load_ms": 4.5, "first_us": 900.0, "raw_us": [500.0], "raw_kept": 1,
    "latency_us": {
        "count": 1, "mean": 500, "std": 0, "min": 500, "p50": 500, "p90": 500, "p99": 500, "max": 500
    },
    "memory": {"peak_rss_bytes": 1000, "method": "VmHWM"}, "artifact_bytes": 10,
    "validity": {"min_runs_met": True, "min_seconds_met": True},
}  # fmt: skip


def test_a_latency_of_an_older_edgecat_is_read(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    path.write_text(json.dumps(OLDER) + "\n")
    (record,) = read(path)
    assert isinstance(record, Latency)
    assert (record.repeat, record.tier, record.conditions, record.validity.throttled) == (0, None, None, None)


def test_conditions_and_repeats_are_read_as_they_were_appended(tmp_path: Path, maker: RecordMaker) -> None:
    conditions = Conditions(
        battery_c_start=31.5,
        thermal_status_end=2,
        gate=TemperatureGate(limit_c=35, waited_seconds=12.5, timed_out=False),
        governors={0: "schedutil", 4: "performance"},
        frequencies_khz_start={0: 1_800_000},
        plugged=True,
    )
    memory = Memory(peak_rss_bytes=9, method="VmHWM", peak_pss_bytes=7, pss_method="smaps_rollup")
    latency = maker.latency("tflite_int8").model_copy(
        update={"repeat": 2, "tier": "rapid", "conditions": conditions, "memory": memory, "cold_load_ms": 8.5}
    )
    throughput = Throughput(
        run_id="r", artifact="tflite_int8", device_kind="embedded", threads=1, images=512, frame_images=256,
        frames_in_flight=4, seconds=0.25, images_per_second=2048, artifact_bytes=10, conditions=conditions,
    )  # fmt: skip
    for record in (latency, throughput):
        append(tmp_path / "results.jsonl", record)
    assert read(tmp_path / "results.jsonl") == [latency, throughput]


@pytest.mark.parametrize("status", [-1, 7])
def test_a_thermal_status_that_android_does_not_have_is_refused(status: int) -> None:
    with pytest.raises(ValidationError):
        Conditions(thermal_status_start=status)


def test_an_unknown_tier_is_no_record(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    path.write_text(json.dumps(OLDER | {"tier": "brisk"}) + "\n")
    with pytest.raises(DataError, match="tier"):
        read(path)
